"""One interface, two implementations: TensorFlow's converter, and LiteRT Quantizer on the converter's float file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tflite_edge.records.conversion import Conversion
from tflite_edge.tf.convert import litert
from tflite_edge.tf.convert.convert import convert
from tflite_edge.tf.convert.litert import require

__all__ = ["quantize", "require"]


def quantize(
    frozen: Path, conversion: Conversion, calibration: np.ndarray | None = None, *, deadline_s: float = 600.0
) -> bytes:
    """The flatbuffer of a frozen SavedModel, by the conversion's quantizer.

    calibration: float32 [N, ...], what the frozen model takes; needed by the modes in STATIC. deadline_s: for what
    runs in a process of its own. Raises DataError without calibration samples, ModelError when the model is refused,
    MissingError or TargetError where LiteRT Quantizer is not installed, crashes or is too slow.
    """
    if conversion.quantizer == "converter":
        return convert(frozen, conversion, calibration)
    whole = convert(frozen, replace(conversion, mode="float32", io="float32", quantizer="converter", per_tensor=False))
    return litert.quantize(whole, conversion, calibration, deadline_s=deadline_s)
