"""What Arm's Vela places on an Ethos-U.

Source: `vela --supported-ops-report` of ethos-u-vela 4.2.0, run here; what it calls SCATTER is SCATTER_ND in
Vela's tflite_mapping.py. Limits that need an operator's options (strides,
dilation, alignment) are left to Vela itself, which is asked where it is installed.
"""

from __future__ import annotations

from tflite_edge.flatbuffer.rules import common
from tflite_edge.flatbuffer.rules.engine import Answer, RuleSet, Site

U55 = """
    ABS ADD ARG_MAX AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXP EXPAND_DIMS FULLY_CONNECTED HARD_SWISH
    LEAKY_RELU LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL PACK PAD PRELU QUANTIZE RELU RELU6 RELU_N1_TO_1
    RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SHAPE SLICE SOFTMAX SPLIT SPLIT_V SQUARED_DIFFERENCE SQUEEZE
    STRIDED_SLICE SUB TANH TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK
""".split()  # noqa: SIM905 - as in schema.py
U85 = [name for name in U55 if name != "UNIDIRECTIONAL_SEQUENCE_LSTM"]
U85 += ["BATCH_MATMUL", "GATHER", "SCATTER_ND", "SELECT", "SELECT_V2"]
TYPES = frozenset({"int8", "uint8", "int16", "int32"})
WIDE = ("ADD", "ARG_MAX", "MIRROR_PAD", "MUL", "SHAPE", "SUB", "TRANSPOSE")
PER_AXIS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
ANY_BATCH = (
    "FULLY_CONNECTED", "RESHAPE", "SHAPE", "SLICE", "SOFTMAX", "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "UNPACK",
)  # fmt: skip
LONGEST = 65_535


def types(site: Site) -> Answer:
    """Activations are int8, uint8 or int16; int32 only for a few operators."""
    allowed = TYPES if site.operator.name in WIDE else TYPES - {"int32"}
    if site.operator.name == "ARG_MAX":
        return True, ""
    return common.of_types(site.computed, allowed)


def four_axes(site: Site) -> Answer:
    """Tensors have at most four axes, each of 1 to 65,535."""
    odd = [t for t in site.computed if len(t.shape) > 4 or any(not 1 <= size <= LONGEST for size in t.shape)]
    return not odd, "; ".join(common.shown(t) for t in odd[:3])


def quantized(site: Site) -> Answer:
    """Activations and weights have quantisation parameters."""
    if site.operator.name in ("ARG_MAX", "MIRROR_PAD", "SHAPE", "TRANSPOSE"):
        return True, ""
    odd = [t for t in site.computed if t.scale is None]
    return not odd, "; ".join(common.shown(t) for t in odd[:3])


def per_axis(site: Site) -> Answer:
    """Only convolutions and dense layers have several scales."""
    several = [] if site.operator.name in PER_AXIS else [t for t in site.tensors if t.scales > 1]
    return not several, "; ".join(f"{common.shown(t)} has {t.scales} scales" for t in several[:3])


def batch_of_one(site: Site) -> Answer:
    """The batch is 1."""
    if site.operator.name in ANY_BATCH:
        return True, ""
    odd = [t for t in site.operator.inputs[:1] if len(t.shape) == 4 and t.shape[0] != 1]
    return not odd, "; ".join(common.shown(t) for t in odd)


def _ethos(name: str, operators: list[str]) -> RuleSet:
    return RuleSet(
        unit=name,
        about="Arm's Ethos-U. What is not placed there runs on the Cortex-M, and the NPU goes on behind it.",
        source="the report of ethos-u-vela 4.2.0, without the limits that need an operator's options",
        operators=dict.fromkeys(operators, ()),
        every=(
            types, common.static_shapes, four_axes, quantized, per_axis, batch_of_one, common.constant_weights,
        ),
        edits={
            "types": "convert with --quantize int8 --io int8",
            "static_shapes": "convert with a fixed batch of 1, as tflite-edge convert does",
            "four_axes": "reshape to four axes or fewer",
            "quantized": "convert with --quantize int8",
            "per_axis": "convert again: these scales belong to convolutions alone",
            "batch_of_one": "convert with batch 1",
            "constant_weights": "put the weights into the model as constants",
        },
    )  # fmt: skip


ETHOS_U55, ETHOS_U85 = _ethos("Ethos-U55 or U65", U55), _ethos("Ethos-U85", U85)
