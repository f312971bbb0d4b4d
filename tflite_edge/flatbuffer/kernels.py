"""What pruning and clustering left in the bytes: zeros and different values, kernel by kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tflite_edge.flatbuffer.graph import Tensor
from tflite_edge.flatbuffer.reader import File
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


def kernels(file: File, weights: Sequence[Tensor]) -> tuple[KernelFact, ...]:
    """Facts of every kernel among `weights`; odd types are left out."""
    fit = (t for t in weights if len(t.shape) >= 2 and t.elements >= MIN_ELEMENTS and t.dtype in DTYPES)
    return tuple(_kernel(file, tensor) for tensor in fit)


def _kernel(file: File, tensor: Tensor) -> KernelFact:
    import numpy as np

    stored = np.frombuffer(file.data[tensor.data.start : tensor.data.stop], DTYPES[tensor.dtype])
    if tensor.dtype.startswith("float"):
        stored = np.where(stored << 1 == 0, np.zeros_like(stored), stored)  # the bits of -0.0 are a zero too
    zero = tensor.zero_point or 0
    # What a sparse tensor leaves out is unfolded as the number 0, which is the value zero where zero_point is 0.
    left_out = tensor.elements - stored.size
    zeros = int(np.count_nonzero(stored == zero)) + (left_out if zero == 0 else 0)
    unique = _unique(stored, left_out)
    rows = _channels(file, tensor, stored)
    in_row = tensor.elements // max(1, len(rows))
    return KernelFact(
        name=tensor.name,
        dtype=tensor.dtype,
        shape=tensor.shape,
        elements=tensor.elements,
        sparsity=zeros / tensor.elements,
        unique=unique,
        unique_per_channel=max((_unique(row, in_row - row.size) for row in rows), default=unique),
    )


def _channels(file: File, tensor: Tensor, stored: np.ndarray[Any, Any]) -> Sequence[np.ndarray[Any, Any]]:
    """The stored values channel by channel; none where there are no scales per channel."""
    import numpy as np

    axis = tensor.axis
    if not (0 <= axis < len(tensor.shape) and 1 < tensor.scales == tensor.shape[axis]):
        return ()
    if tensor.sparsity is None:
        return list(np.moveaxis(stored.reshape(tensor.shape), axis, 0).reshape(tensor.scales, -1))
    channel = tensor.sparsity.along(file, axis)
    order = np.argsort(channel, kind="stable")
    return np.split(stored[order], np.searchsorted(channel[order], np.arange(1, tensor.scales)))


def _unique(values: np.ndarray[Any, Any], left_out: int) -> int:
    """How many different values; those that are left out are all 0."""
    import numpy as np

    if left_out:
        values = np.append(values, np.zeros(1, values.dtype))
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
