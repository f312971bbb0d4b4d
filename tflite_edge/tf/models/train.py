"""Training of zoo models from nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tflite_edge.records.errors import DataError
from tflite_edge.records.event import Listener
from tflite_edge.records.recipe import Training
from tflite_edge.tf.data.dataset import Dataset
from tflite_edge.tf.fit import fit


def train(model: Any, data: Dataset, training: Training, listen: Listener, backup: Path) -> None:
    """Train `model` in place on `data.train`; deterministic for a seed on one machine. Raises DataError.

    A classifier learns its labels, an anomaly detector to answer its own input.
    """
    if data.task not in ("classification", "anomaly"):
        raise DataError(
            f"{data.pool.name} has no class labels to train on", do="give your own trained model with its data"
        )
    fit(model, data, training, listen, backup=backup)
