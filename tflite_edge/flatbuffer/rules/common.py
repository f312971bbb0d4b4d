"""Rules that several rule sets share."""

from __future__ import annotations

from tflite_edge.flatbuffer.graph import Tensor
from tflite_edge.flatbuffer.rules.engine import Answer, Site


def static_shapes(site: Site) -> Answer:
    """All shapes are known before the model runs."""
    open_ = [t for t in site.computed if t.dynamic_axes]
    return not open_, "; ".join(f"{shown(t)} has open axes {list(t.dynamic_axes)}" for t in open_[:3])


def constant_weights(site: Site) -> Answer:
    """Weights and biases are constants in the file."""
    if site.operator.name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        return True, ""
    computed = [t for t in site.operator.inputs[1:3] if not t.constant]
    return not computed, "; ".join(f"{shown(t)} is computed" for t in computed)


def dense_storage(site: Site) -> Answer:
    """Constants are stored whole, not sparsely."""
    sparse = [t for t in site.operator.inputs if t.sparsity]
    return not sparse, "; ".join(f"{shown(t)} leaves its zeros out" for t in sparse)


def shown(tensor: Tensor) -> str:
    return f"{tensor.name[:60]} {tensor.dtype} {list(tensor.shape)}"


def of_types(tensors: tuple[Tensor, ...], allowed: frozenset[str]) -> Answer:
    odd = [t for t in tensors if t.dtype not in allowed]
    return not odd, "; ".join(shown(t) for t in odd[:3])
