"""Raw values to what a model takes: one arithmetic for training, calibration and the board."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tflite_edge.records.errors import DataError
from tflite_edge.records.preprocess import Preprocess

Array = NDArray[Any]  # raw values and tensors come as uint8, int8, int16, float32, ...


def normalize(raw: Array, record: Preprocess) -> Array:
    """(raw - mean) / std as float32, of the same shape.

    raw: [..., C]; `mean` and `std` go along the last axis. Cast, one subtraction, one division, all in
    float32: IEEE 754 rounds each in one way only, so every machine gives the same bits.
    Raises DataError when the last axis does not have as many channels as `mean` or `std`.
    """
    _check_channels(raw, record)
    mean, std = np.asarray(record.mean, np.float32), np.asarray(record.std, np.float32)
    return (raw.astype(np.float32) - mean) / std


def _check_channels(raw: Array, record: Preprocess) -> None:
    channels = max(len(record.mean), len(record.std))
    if channels > 1 and raw.shape[-1:] != (channels,):
        raise DataError(
            f"the preprocessing is for {channels} channels, the data have shape {list(raw.shape)}",
            do="channels are the last axis",
        )


def quantize(values: Array, dtype: DTypeLike, scale: float, zero_point: int) -> Array:
    """round(values / scale) + zero_point, half to even, clipped to `dtype` (int8, uint8 or int16)."""
    limits = np.iinfo(np.dtype(dtype))
    steps = np.rint(values / np.float32(scale)) + np.float32(zero_point)
    clipped: Array = np.clip(steps, limits.min, limits.max).astype(dtype)
    return clipped


def dequantize(values: Array, scale: float, zero_point: int) -> Array:
    """(values - zero_point) * scale as float32; scale 0.0 means not quantised: the values themselves."""
    if scale == 0.0:
        return values.astype(np.float32)
    return (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def to_input(raw: Array, record: Preprocess, dtype: DTypeLike, scale: float, zero_point: int) -> Array:
    """Raw values normalised and in the type of an input tensor, of the same shape.

    An integer tensor without a scale takes raw values as they are, so only the identity fits it.
    Raises DataError when `record` asks for arithmetic there, or when `dtype` cannot hold the values.
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return normalize(raw, record).astype(dtype, copy=False)
    if scale != 0.0:
        return quantize(normalize(raw, record), dtype, scale, zero_point)
    if not record.is_identity:
        raise DataError(
            f"the input is {dtype.name} without a scale, so it takes raw values, but mean and std are given",
            evidence=f"mean {list(record.mean)}, std {list(record.std)}",
            do="a model with baked preprocessing has mean 0 and std 1",
        )
    values = raw.astype(dtype)
    if not np.array_equal(values, raw):
        raise DataError(f"the model takes {dtype.name} and the {raw.dtype.name} data do not fit into it")
    return values


def encoder(
    raw_dtype: DTypeLike, record: Preprocess, dtype: DTypeLike, scale: float, zero_point: int
) -> Callable[[Array], Array]:
    """A function equal to `to_input` with all but `raw` given; for uint8 data it looks the answers up.

    uint8 has 256 values, so a table per channel holds every answer `to_input` can give.
    """
    dtype = np.dtype(dtype)
    if np.dtype(raw_dtype) != np.uint8 or dtype.kind not in "iu" or scale == 0.0:
        return lambda raw: to_input(raw, record, dtype, scale, zero_point)
    channels = max(len(record.mean), len(record.std))
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, np.newaxis], channels, axis=1)
    tables = to_input(levels, record, dtype, scale, zero_point).T.copy()  # [C, 256]
    if channels == 1:
        take: Callable[[Array], Array] = tables[0].take
        return take

    def look_up(raw: Array) -> Array:
        _check_channels(raw, record)
        found = np.empty(raw.shape, dtype)
        for channel, table in enumerate(tables):
            found[..., channel] = table.take(raw[..., channel])
        return found

    return look_up
