"""Labelled packs: what crosses from the host to the harness as one .npz."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from tflite_edge.artifact import write


def write_pack(
    path: Path,
    x: np.ndarray,
    y: np.ndarray | None,
    reference: np.ndarray | None = None,
    baseline: np.ndarray | None = None,
    *,
    anomaly: bool = False,
) -> Path:
    """Write x, raw uint8 or float32 [n, ...], y, labels or targets [n, ...], and what the float model answered.

    reference, baseline: float32 [n, K], of the model that was converted and of the one before optimisation.
    anomaly: y is 0 (normal) or 1, and the model answers its own input.
    """
    arrays = {"x": x}
    if y is not None:
        arrays["y"] = y
    if reference is not None:
        arrays["reference"] = reference.astype(np.float32)
    if baseline is not None:
        arrays["baseline"] = baseline.astype(np.float32)
    if anomaly:
        arrays["task"] = np.array("anomaly")
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return write(path, buffer.getbuffer())
