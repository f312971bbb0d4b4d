"""What TFLite Micro takes: operators from the table that was probed, and its own limits.

Sources: tensorflow/lite/micro/kernels of tflite-micro: fully_connected.cc (commit 26a153e7), conv_common.cc (28e6530b,
"Hybrid models are not supported on TFLite Micro") and dequantize_common.cc (07fe78d5: int8 or int16 to float32, so no
float16 weights). Its Python wheel refuses a dynamic-range dense layer in the words of the first.
"""

from __future__ import annotations

from tflite_edge.flatbuffer.graph import Operator
from tflite_edge.flatbuffer.rules import common, kernels
from tflite_edge.flatbuffer.rules.engine import Answer, Model, RuleSet, Site
from tflite_edge.flatbuffer.rules.runtimes import latest

MICRO_RUNTIME = latest("tflite-micro")
WEIGHTS = {"float32": ("float32",), "int8": ("int8", "int4"), "int16": ("int8",)}  # of activations: of weights
TYPES = frozenset({"float32", "int8", "int16", "int32", "int64", "bool", "uint8", "int4", "resource"})
# Operator -> where its activation and its weights stand.
WEIGHED = {**dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"), (0, 1)), "TRANSPOSE_CONV": (2, 1)}

# A firmware may have a kernel for it; that it has is not in the file.
REGISTER = "register it yourself with AddCustom, or use layers without it"
FIXED = "convert with a fixed batch of 1, as tflite-edge convert does"


def types(site: Site) -> Answer:
    """Tensors are float32, int8, int16 or an index type: there are no float16 kernels."""
    return common.of_types(site.tensors, TYPES)


def stored_shapes(site: Site) -> Answer:
    """Memory is planned once, with the shapes that stand in the file: none has an axis of -1 or changes its size."""
    odd = [common.shown(tensor) for tensor in site.computed if -1 in tensor.shape]
    if site.operator.name == "RESHAPE":
        for source, result in zip(site.operator.inputs[:1], site.operator.outputs, strict=False):
            if source.elements != result.elements:
                odd.append(f"{common.shown(source)} becomes {common.shown(result)}")
    return not odd, "; ".join(odd[:3])


def not_hybrid(site: Site) -> Answer:
    """Convolutions and dense layers are float32 throughout, or int8 or int16 with int8 weights: not dynamic range."""
    places = WEIGHED.get(site.operator.name)
    if places is None or len(site.operator.inputs) <= max(places):
        return True, ""
    activation, weights = (site.operator.inputs[place] for place in places)
    fit = weights.dtype in WEIGHTS.get(activation.dtype, ())
    return fit, f"{common.shown(activation)} meets {common.shown(weights)}"


def kernel_types(site: Site) -> Answer:
    """The operator has a kernel for its types, as far as it was asked."""
    refused = kernels.refuses(MICRO_RUNTIME.name, MICRO_RUNTIME.version, site.operator)
    return not refused, kernels.types(site.operator) if refused else ""


def dense_with_several_scales(operator: Operator) -> bool:
    """int8 throughout, and weights with a scale for each channel."""
    activation, weights = (*operator.inputs, None, None)[:2]
    if operator.name != "FULLY_CONNECTED" or activation is None or weights is None:
        return False
    return activation.dtype == weights.dtype == "int8" and weights.scales > 1


def per_tensor_dense(model: Model) -> Answer:
    """Dense weights have one scale: with several, older builds answer wrongly and without an error."""
    operators = [operator for graph in model.graphs for operator in graph.operators]
    several = [operator.inputs[1] for operator in operators if dense_with_several_scales(operator)]
    return not several, "; ".join(f"{common.shown(t)} has {t.scales} scales" for t in several[:3])


def fixed_axes(model: Model) -> Answer:
    """No axis is open: where one is, the model runs with the size that is stored, a batch of 1."""
    graph = model.graphs[0]
    fed = [tensor for tensor in graph.inputs if tensor.dynamic_axes and -1 not in tensor.shape]
    return not fed, "; ".join(f"{common.shown(t)} has open axes {list(t.dynamic_axes)}" for t in fed[:3])


def no_flex(model: Model) -> Answer:
    """The model needs no TensorFlow (Flex) operators."""
    return not model.facts.flex, ", ".join(model.facts.flex)


MICRO = RuleSet(
    unit="TFLite Micro interpreter",
    elsewhere="",
    about="Microcontrollers. An operator that is not mapped is not there at all: such a model does not start. The "
    "operators are those of the Python wheel's resolver; a build of your own registers those that you name.",
    source=f"tflite-micro {MICRO_RUNTIME.version}, probed {MICRO_RUNTIME.probed}",
    operators=dict.fromkeys(MICRO_RUNTIME.operators, ()),
    custom=REGISTER,
    every=(types, stored_shapes, common.dense_storage, not_hybrid, kernel_types),
    whole=(no_flex, fixed_axes, per_tensor_dense),
    edits={
        "types": "convert with --quantize int8, or float32",
        "stored_shapes": FIXED,
        "fixed_axes": FIXED,
        "dense_storage": "convert without --sparse",
        "not_hybrid": "convert with --quantize int8, or float32",
        "kernel_types": "convert with another --quantize (float32 has the most kernels), or use layers without it",
        "per_tensor_dense": "convert with --runtime tflite-micro, which asks for one scale",
        "no_flex": "replace these layers by ones with builtin operators",
    },
)
