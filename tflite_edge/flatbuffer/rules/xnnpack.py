"""What TFLite's XNNPACK delegate takes on a CPU, as ai-edge-litert 2.3.0 has it.

Asked on x86-64 with files of one operator, in float32, int8 and dynamic range: it lists what it gave to the delegate.
What those files could not hold (DIV, int8 ELU: the converter writes others) is from the delegate's source,
tflite/delegates/xnnpack/xnnpack_delegate.cc of google-ai-edge/LiteRT at commit 038d2a26, with which the answers agree
but for LOG, which is newer. Its README lists fewer. tflite-runtime 2.14.0, asked the same, takes no int8 layers, and in
float no BATCH_MATMUL, COS, EXP, GELU, LOG, REDUCE_MAX, REDUCE_MIN, RSQRT or SIN.

What the delegate leaves runs on TFLite's own kernels, so that nothing is lost but time. Limits of options (strides of
STRIDED_SLICE, two to four outputs of SPLIT, beta of SOFTMAX, fused TANH) are not looked at.
"""

from __future__ import annotations

from tflite_edge.flatbuffer.rules import common
from tflite_edge.flatbuffer.rules.engine import Answer, RuleSet, Site

INT8 = frozenset(
    """
    ADD CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE ELU FULLY_CONNECTED LEAKY_RELU LOGISTIC
    MAX_POOL_2D MEAN MUL PAD QUANTIZE REDUCE_MAX REDUCE_MIN RESHAPE RESIZE_BILINEAR SLICE SPACE_TO_DEPTH SPLIT
    STRIDED_SLICE SUB SUM TANH TRANSPOSE TRANSPOSE_CONV
    """.split()  # noqa: SIM905 - as in schema.py
)
FLOAT_ONLY = """
    ABS AVERAGE_POOL_2D BATCH_MATMUL CEIL COS DENSIFY DIV EXP FLOOR GELU HARD_SWISH LOG MAXIMUM MINIMUM NEG PRELU RELU
    RELU6 RELU_N1_TO_1 ROUND RSQRT SIN SOFTMAX SQRT SQUARE SQUARED_DIFFERENCE
""".split()  # noqa: SIM905 - as in schema.py
OPERATORS = sorted([*INT8, *FLOAT_ONLY])
TYPES = frozenset({"float32", "float16", "int8", "uint8", "int32", "int64", "int4"})
UNFOLD = ("DEQUANTIZE", "DENSIFY")


def types(site: Site) -> Answer:
    """Activations are float32, int8 or uint8 (int32 for shapes and biases)."""
    return common.of_types(site.tensors, TYPES)


def int8_kernels(site: Site) -> Answer:
    """Operators on int8 or uint8 values are among those that the delegate has in int8."""
    whole = [t for t in site.computed if t.dtype in ("int8", "uint8")]
    return not whole or site.operator.name in INT8, "; ".join(common.shown(t) for t in whole[:1])


def fixed_weights(site: Site) -> Answer:
    """Weights and biases are constants, or unfolded from constants when the file is loaded."""
    unfolded = {
        output.index
        for operator in site.graph.operators
        if operator.name in UNFOLD and all(tensor.constant for tensor in operator.inputs)
        for output in operator.outputs
    }
    holds, evidence = common.constant_weights(site)
    computed = [t for t in site.operator.inputs[1:3] if not t.constant and t.index not in unfolded]
    return holds or not computed, evidence


XNNPACK = RuleSet(
    unit="XNNPACK delegate",
    about="The library behind ai-edge-litert and, for float models, tflite-runtime. Operators that it does not take "
    "run on TFLite's own kernels, more slowly.",
    source="ai-edge-litert 2.3.0, asked with files of one operator, and the delegate's source "
    "(google-ai-edge/LiteRT, commit 038d2a26)",
    operators=dict.fromkeys(OPERATORS, ()),
    every=(types, int8_kernels, fixed_weights),
    edits={
        "types": "convert with --quantize int8, float16 or float32",
        "int8_kernels": "use layers with int8 kernels, or leave it: it runs, more slowly",
        "fixed_weights": "put the weights into the model as constants",
    },
)
