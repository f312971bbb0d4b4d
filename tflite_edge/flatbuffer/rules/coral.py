"""What the Edge TPU compiler 16.0 maps, from what is written about it: it was not run here.

Sources: coral.ai/docs/edgetpu/models-intro, "Supported operations" and "Model requirements", by excerpts, not the page;
Axis's list for its Edge TPU (developer.axis.com, ARTPEC-7, "Supported ops") agrees as far as it was read, from Add to
ResizeBilinear. TRANSPOSE_CONV: users quote it from Coral's list (google-coral/edgetpu, issues 64 and 684). SPLIT and
TRANSPOSE, which the compiler called "otherwise supported" and did not map (issues 219 and 433), are left out. Refused
versions: issues 631 and 845, and 71 of google-coral/libedgetpu.
"""

from __future__ import annotations

from tflite_edge.flatbuffer.rules import common
from tflite_edge.flatbuffer.rules.engine import Answer, Model, Rule, RuleSet, Site

TYPES = frozenset({"int8", "uint8"})
ON_CHIP_BYTES = int(
    7.7 * 2**20
)  # of 8 MB, the most that the compiled program leaves; 7.1 MiB of a model with 246 operators (yolov7's 1672)
LAST_VERSION = {"CONV_2D": 5, "EXP": 1, "TRANSPOSE_CONV": 3}
SOFTMAX_MOST = 16_000


def quantized(site: Site) -> Answer:
    """Activations and weights are int8 or uint8; biases are int32."""
    biased = site.operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
    odd = [
        t
        for t in site.tensors
        if t.dtype not in TYPES and not (t.constant and t.dtype == "int32" and (biased or t.scale is None))
    ]
    return not odd, "; ".join(common.shown(t) for t in odd[:3])


def three_inner_axes(site: Site) -> Answer:
    """Tensors have one to three axes; of more, only the three innermost are larger than 1, so the batch is 1."""
    odd = [t for t in site.computed if any(size > 1 for size in t.shape[:-3])]
    return not odd, "; ".join(common.shown(t) for t in odd[:3])


def known_version(site: Site) -> Answer:
    """The compiler 16.0 refuses a whole file for one operator version that it does not know."""
    newer = [
        o for graph in site.model.graphs for o in graph.operators if o.version > LAST_VERSION.get(o.name, o.version)
    ]
    return not newer, "; ".join(f"#{o.index} {o.name} {o.version}, known to {LAST_VERSION[o.name]}" for o in newer[:3])


def one_axis_output(site: Site) -> Answer:
    """A dense layer's output has one axis beside the batch."""
    odd = [t for t in site.operator.outputs if any(size > 1 for size in t.shape[:-1])]
    return not odd, "; ".join(common.shown(t) for t in odd)


def short_softmax(site: Site) -> Answer:
    """Softmax takes one axis of up to 16,000 values."""
    first = site.operator.inputs[0] if site.operator.inputs else None
    if first is None:
        return False, "it has no input"
    one = all(size <= 1 for size in first.shape[:-1])
    return one and first.elements <= SOFTMAX_MOST, common.shown(first)


def not_the_batch(site: Site) -> Answer:
    """The batch axis is not reduced, padded or packed."""
    first, out = site.operator.inputs[:1], site.operator.outputs[:1]
    if not first or not out or len(first[0].shape) != len(out[0].shape) or not first[0].shape:
        return True, ""
    return first[0].shape[0] == out[0].shape[0], f"{common.shown(first[0])} -> {common.shown(out[0])}"


def on_chip(model: Model) -> Answer:
    """All parameters fit the 8 MB on the chip, of which at most 7.7 MiB are free; others come over USB at each run."""
    held = model.facts.weights.size_bytes
    return held <= ON_CHIP_BYTES, f"{held:,} bytes of parameters, {ON_CHIP_BYTES:,} fit"


_NONE: tuple[Rule, ...] = ()
PLAIN = (
    "ADD MUL SUB MAXIMUM MINIMUM LOGISTIC TANH RELU RELU6 RELU_N1_TO_1 QUANTIZE EXPAND_DIMS L2_NORMALIZATION "
    "SPACE_TO_DEPTH SLICE AVERAGE_POOL_2D MAX_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D TRANSPOSE_CONV PRELU "
    "RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RESHAPE SQUEEZE STRIDED_SLICE UNIDIRECTIONAL_SEQUENCE_LSTM"
)
CORAL = RuleSet(
    unit="Edge TPU",
    about="The Coral USB Accelerator. The first operator that is not mapped cuts the graph: the compiler leaves it "
    "and everything after it to the CPU. QUANTIZE and DEQUANTIZE at the model's edge do not cut.",
    source="Coral's published list of operators; 7.7 MiB and refused versions as users of compiler 16.0 report. "
    "Limits of options (fused activations, dilation, strides) are not looked at",
    operators={
        **dict.fromkeys(PLAIN.split(), _NONE),
        "FULLY_CONNECTED": (one_axis_output,),
        "SOFTMAX": (short_softmax,),
        **dict.fromkeys(("MEAN", "PAD", "PACK", "REDUCE_MAX", "REDUCE_MIN"), (not_the_batch,)),
    },
    every=(
        known_version, quantized, common.static_shapes, three_inner_axes, common.constant_weights, common.dense_storage,
    ),
    whole=(on_chip,),
    edits={
        "quantized": "convert with --quantize int8 (for an int8 edge also --io int8)",
        "static_shapes": "convert with a fixed batch of 1, as tflite-edge convert does",
        "three_inner_axes": "convert with batch 1, and reshape so that only the last three axes are larger than 1",
        "constant_weights": "put the weights into the model as constants",
        "dense_storage": "convert without --sparse",
        "known_version": "no grouped convolution (CONV_2D 6), no activation fused into a transposed one "
        "(TRANSPOSE_CONV 4), no exponential in int8 (EXP 2)",
        "one_axis_output": "flatten before the dense layer, or use a 1x1 convolution",
        "short_softmax": "take softmax out of the model: the largest class is the same without it",
        "not_the_batch": "keep the first axis as it is",
        "on_chip": "a narrower model (--alpha, --optimize channels=0.5), or two Edge TPUs in a row",
    },
    replace={
        "HARD_SWISH": "train with ReLU6 instead of hard-swish (MobileNetV3 minimalistic)",
        "LEAKY_RELU": "use ReLU or PReLU",
        "GELU": "use ReLU",
        "ELU": "use ReLU",
        "DEQUANTIZE": "convert with --quantize int8 --io int8",
        "ARG_MAX": "take the largest output in your own program",
        "CAST": "feed the type that the model computes in",
        "BATCH_MATMUL": "use a dense layer or a 1x1 convolution with constant weights",
        "GATHER": "look values up in your own program",
    },
    cuts=True,
)  # fmt: skip
