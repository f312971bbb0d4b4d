"""What pruning and clustering left in the bytes: zeros and different values, kernel by kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tflite_edge.flatbuffer.graph import Tensor
from tflite_edge.records.manifest import Compression, half_at

if TYPE_CHECKING:
    import numpy as np

# Kernels with fewer weights say little: their zeros and shared values are chance.
MIN_ELEMENTS = 64
DTYPES = {"float32": "<u4", "float16": "<u2", "int8": "<i1", "uint8": "|u1", "int16": "<i2"}


@dataclass(frozen=True)
class KernelFact:
    """One weight with two axes or more. sparsity: share of zeros. unique: how many different values it has.

    unique_per_channel: the most in any one channel of the quantisation axis; `unique` where it has none.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    elements: int
    sparsity: float
    unique: int
    unique_per_channel: int


def kernels(data: bytes | memoryview, weights: Sequence[Tensor]) -> tuple[KernelFact, ...]:
    """Facts of every dense kernel among `weights`; sparsely stored ones and odd types are left out."""
    found = []
    for tensor in weights:
        if len(tensor.shape) < 2 or tensor.elements < MIN_ELEMENTS or tensor.sparse or tensor.dtype not in DTYPES:
            continue
        import numpy as np

        span = data[tensor.data.start : tensor.data.stop]
        found.append(_kernel(tensor, np.frombuffer(span, DTYPES[tensor.dtype]).reshape(tensor.shape)))
    return tuple(found)


def _kernel(tensor: Tensor, values: np.ndarray[Any, Any]) -> KernelFact:
    import numpy as np

    if tensor.dtype.startswith("float"):
        values = np.where(values << 1 == 0, np.zeros_like(values), values)  # the bits of -0.0 are a zero too
    zeros = values == (tensor.zero_point or 0)
    unique = _unique(values)
    per_channel = 0 <= tensor.axis < values.ndim and 1 < tensor.scales == values.shape[tensor.axis]
    channels = np.moveaxis(values, tensor.axis, 0) if per_channel else ()
    return KernelFact(
        name=tensor.name,
        dtype=tensor.dtype,
        shape=tensor.shape,
        elements=tensor.elements,
        sparsity=float(zeros.mean()),
        unique=unique,
        unique_per_channel=max((_unique(channel) for channel in channels), default=unique),
    )


def _unique(values: np.ndarray[Any, Any]) -> int:
    import numpy as np

    if values.itemsize == 1:
        return int(np.count_nonzero(np.bincount(values.view(np.uint8).ravel(), minlength=256)))
    return len(np.unique(values))


def compression(facts: Sequence[KernelFact]) -> Compression | None:
    """All kernels together; None where there are none."""
    total = sum(fact.elements for fact in facts)
    if not total:
        return None

    return Compression(
        sparsity=sum(fact.sparsity * fact.elements for fact in facts) / total,
        half_sparsity=-half_at([(-fact.sparsity, fact.elements) for fact in facts]),
        half_unique=int(half_at([(fact.unique, fact.elements) for fact in facts])),
        half_unique_per_channel=int(half_at([(fact.unique_per_channel, fact.elements) for fact in facts])),
    )
