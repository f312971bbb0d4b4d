"""How a model is quantised, decided from its operators and tensors alone.

The names are those of records.conversion.SCHEMES and follow its grammar: ``w`` weights, ``a``
activations, then the type. Beside those five a file found somewhere can also be ``static-wu8au8`` (the
old uint8 kernels), ``weightonly-wi8``, ``dynamic-wi4af32`` and so on; ``mixed-...`` is a static scheme with
operators left that compute in float; ``mixed`` has activations of several integer types; ``integer``
has neither float nor quantised values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tflite_edge.flatbuffer.graph import Graph, Operator, Tensor
from tflite_edge.flatbuffer.schema import FLOAT_TYPES

QUANTIZED_TYPES = ("int8", "uint8", "int16", "int4", "uint4", "int2")
BIAS_TYPES = ("int32", "int64")  # of int8 and int16 activations; without a scale they are shapes and indices

# These change how values are written down and compute nothing; UNFOLDING ones are used on weights as well.
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE", "DENSIFY")
UNFOLDING = ("DEQUANTIZE", "DENSIFY")


@dataclass
class Census:
    """What the operators of a model work on. The counters count operators or uses, by tensor type.

    floats: (subgraph, operator, its float tensor). quantized: operators with quantised activations.
    movers: conversions and look-ups in quantised tables, which decide only when nothing else is there.
    direct: quantised constants that a float operator takes as they are. unfolded: constants that are
    turned into float first. weights: elements of quantised weights.
    """

    operators: int = 0
    floats: list[tuple[int, Operator, Tensor]] = field(default_factory=list)
    quantized: Counter[str] = field(default_factory=Counter)
    movers: Counter[str] = field(default_factory=Counter)
    direct: Counter[str] = field(default_factory=Counter)
    unfolded: Counter[str] = field(default_factory=Counter)
    weights: Counter[str] = field(default_factory=Counter)


def is_quantized(tensor: Tensor) -> bool:
    """A narrow integer type alone is not enough: raw uint8 pixels have no scale."""
    return tensor.dtype in QUANTIZED_TYPES and tensor.scales > 0


def role(tensor: Tensor, used: bool) -> str:
    """What a constant is for: "weight", "bias" or "other".

    A weight is a constant of a float or narrow integer type that some operator takes; a bias (of
    quantised layers; float ones cannot be told from weights) is int32 or int64 with a scale. Other: shapes,
    axes, paddings and indices, which are int32 or int64 without a scale, booleans, strings, unused ones.
    """
    if not used:
        return "other"
    if tensor.dtype in FLOAT_TYPES or tensor.dtype in QUANTIZED_TYPES:
        return "weight"
    return "bias" if tensor.dtype in BIAS_TYPES and tensor.scales else "other"


def census(graphs: Iterable[Graph]) -> Census:
    found = Census()
    for graph in graphs:
        for operator in graph.operators:
            _count(found, graph, operator)
    return found


def _count(found: Census, graph: Graph, operator: Operator) -> None:
    for tensor in operator.inputs:
        if tensor.constant and is_quantized(tensor):
            found.weights[tensor.dtype] += tensor.elements

    # State that is kept between calls is left out: an int8 LSTM has an int16 cell.
    entering = [tensor for tensor in operator.inputs if not tensor.constant and not tensor.variable]
    flowing = [*operator.outputs, *entering]
    narrow = Counter({tensor.dtype for tensor in flowing if is_quantized(tensor)})
    if operator.name in CONVERSIONS:
        found.movers += narrow
        if operator.name in UNFOLDING:
            found.unfolded.update(tensor.dtype for tensor in operator.inputs if tensor.constant)
        return

    found.operators += 1
    floats = [tensor for tensor in flowing if tensor.dtype in FLOAT_TYPES]
    narrow_constants = (t for t in operator.inputs if t.constant and (is_quantized(t) or t.dtype == "float16"))
    tables = Counter(tensor.dtype for tensor in narrow_constants)
    if floats:
        found.floats.append((graph.index, operator, floats[0]))
        found.direct += tables
    elif narrow and tables and not any(is_quantized(tensor) for tensor in entering):
        # GATHER of int8 embeddings: dynamic-range models have it too, and dequantise the rows that it picks.
        found.movers += narrow
        found.direct += tables
    else:
        found.quantized += narrow


def decide(found: Census) -> tuple[str, str]:
    """(scheme, why)."""
    if found.floats:
        if found.quantized:
            scheme = _static(found, found.quantized).replace("static", "mixed")
            return scheme, f"{len(found.floats)} of {found.operators} operators compute in float"
        return _float(found)
    narrow = found.quantized or found.movers
    if narrow:
        types = " and ".join(sorted(narrow))
        return _static(found, narrow), f"no operator computes in float; activations are {types}"
    if found.unfolded:
        return _float(found)
    return "integer", "no value is float or quantised"


def _float(found: Census) -> tuple[str, str]:
    integers = Counter({dtype: n for dtype, n in found.direct.items() if dtype in QUANTIZED_TYPES})
    if integers:
        dtype, uses = integers.most_common(1)[0]
        return f"dynamic-w{short(dtype)}af32", f"{uses} x {dtype} weights are used as they are beside float values"
    folded = found.unfolded + found.direct
    narrow = Counter({dtype: n for dtype, n in folded.items() if dtype != "float32"})  # float32: was sparse
    if narrow:
        dtype, uses = narrow.most_common(1)[0]
        return f"weightonly-w{short(dtype)}", f"{uses} x {dtype} weights are made float32 before use"
    return "float", "every weight and activation is float"


def _static(found: Census, narrow: Counter[str]) -> str:
    if len(narrow) > 1:
        return "mixed"
    activation = next(iter(narrow))
    # Without weights nothing contradicts the pair that the converter makes: int8 for int16 activations.
    usual = "int8" if activation == "int16" else activation
    weight = found.weights.most_common(1)[0][0] if found.weights else usual
    return f"static-w{short(weight)}a{short(activation)}"


def short(dtype: str) -> str:
    """``i8`` for int8, ``u8`` for uint8, ``f16`` for float16, ``bf16`` for bfloat16."""
    return dtype.replace("uint", "u").replace("int", "i").replace("float", "f")
