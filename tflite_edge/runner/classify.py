"""One model, opened once, that answers images: what `classify` prints and the server sends."""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
from time import perf_counter
from typing import Any, Dict, Optional, Tuple

import numpy as np

from tflite_edge.harness.pack import UNREADABLE
from tflite_edge.harness.preprocess import Array, dequantize, normalize, to_input
from tflite_edge.harness.runtime import choose, describe, open_interpreter, refusals
from tflite_edge.harness.trainable import Trainable
from tflite_edge.records.card import CARD, SMOKE, Card
from tflite_edge.records.errors import BundleError, DataError, MissingError
from tflite_edge.records.job import Runtime
from tflite_edge.records.plain import from_plain
from tflite_edge.runner.delegate import Accelerated, accelerate

TOP = 5
# What an accelerator may differ by, in tolerances: as far as two runtimes were seen to differ on a CPU (one int8 file).
LOOSE = 65


def read_card(folder: str) -> Card:
    """The bundle.json of an unpacked bundle. Raises BundleError."""
    path = os.path.join(folder, CARD)
    try:
        with open(path, encoding="utf-8") as stream:
            values = json.load(stream)
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder} is not an unpacked bundle", evidence=str(error)) from error
    return from_plain(Card, values, CARD)


class Classifier:
    """The bundle's model on its runtime. `answer` may be called from several threads: they take turns."""

    def __init__(self, folder: str) -> None:
        """Raises BundleError for a model that is not the card's, MissingError without the runtime."""
        self.card = read_card(folder)
        self.folder = folder
        self._path = os.path.join(folder, self.card.model)
        _prove(self._path, self.card.model_sha256)
        features = os.path.join(folder, self.card.features) if self.card.features else None
        if features:
            _prove(features, self.card.features_sha256)
        chosen = choose(self.card.runtime)
        self._chosen = chosen
        self._interpreter = open_interpreter(self._path, chosen, self.card.threads)
        self.accelerated: Optional[Accelerated] = None
        if self.card.delegate:
            self.accelerated = accelerate(self.card, folder, chosen, self._interpreter)
            self._interpreter = self.accelerated.interpreter or self._interpreter
        self._source = self._interpreter.get_input_details()[0]
        self._sink = self._interpreter.get_output_details()[0]
        outputs = int(np.prod(self._sink["shape"]))
        if self.card.task == "classification" and len(self.card.labels) != outputs:
            raise BundleError(
                f"{len(self.card.labels)} labels for a model of {outputs} classes",
                do="pack the model with the labels it was made with",
            )
        # A head whose features another file computes, or one that was taught, runs by its signatures.
        self._model = Trainable(self._path, chosen, self.card.threads, features) if features else None
        self._lock = threading.Lock()

    @property
    def runtime(self) -> Runtime:
        return describe(self._chosen)

    @property
    def fields(self) -> Dict[str, Any]:
        """What every document says of the accelerator; nothing where the bundle knows none."""
        return self.accelerated.as_fields() if self.accelerated else {}

    def outputs(self, raw: Array) -> Tuple[Array, float]:
        """(what the model answers, dequantised float32 [K]; seconds of preprocessing and inference).

        raw: one sample as the card's preprocessing takes it, uint8 [H, W, C] for images.
        """
        if self._model is not None:
            return self._signed_outputs(self._model, raw)
        shape = tuple(int(size) for size in self._source["shape"][1:])
        if raw.shape != shape:
            raise DataError(f"the model takes {list(shape)}, not {list(raw.shape)}")
        with self._lock, refusals(self._path, self._chosen):
            began = perf_counter()
            value = to_input(raw, self.card.preprocess, self._source["dtype"], *self._source["quantization"])
            self._interpreter.set_tensor(self._source["index"], value[np.newaxis])
            self._interpreter.invoke()
            output = self._interpreter.get_tensor(self._sink["index"])
            seconds = perf_counter() - began
        return dequantize(output, *self._sink["quantization"]).reshape(-1), seconds

    def _signed_outputs(self, model: Trainable, raw: Array) -> Tuple[Array, float]:
        images: Array = np.asarray(raw)[np.newaxis]
        with self._lock:
            model.check(images, "the image")
            began = perf_counter()
            values = model.infer(images, self.card.preprocess)[0]
            return values, perf_counter() - began

    def answer(self, raw: Array) -> Dict[str, Any]:
        """The answer to one sample as JSON-ready values: label, score and top for classes, else values or error."""
        values, seconds = self.outputs(raw)
        found: Dict[str, Any] = {}
        if self.card.task == "classification":
            order = np.argsort(-values, kind="stable")[:TOP]
            found = {
                "label": self.card.labels[order[0]],
                "score": round(float(values[order[0]]), 6),
                "top": [[self.card.labels[index], round(float(values[index]), 6)] for index in order],
            }
        elif self.card.task == "anomaly":
            wanted = normalize(raw, self.card.preprocess).reshape(-1)
            found = {"error": float(((values - wanted) ** 2).mean())}
        else:
            found = {"values": [float(value) for value in values]}
        return {**found, "ms": round(1e3 * seconds, 3), **self.fields}

    def load(self, path: str, data: Optional[bytes] = None) -> Array:
        """One sample from an image file (or its bytes), or from a .npy of raw values. Raises DataError."""
        if self.card.preprocess.size is None or path.endswith(".npy"):
            return _array(path, data)
        images = _images()
        try:
            image: Array = images.decode(path if data is None else io.BytesIO(data), self.card.preprocess)
        except images.BROKEN as error:
            raise DataError(f"{path} is not an image that can be read", evidence=str(error)) from error
        return image

    def smoke(self) -> Dict[str, Any]:
        """Answer the bundle's own sample and compare with what the maker got. Raises BundleError where they differ."""
        try:
            with np.load(os.path.join(self.folder, SMOKE), allow_pickle=False) as arrays:
                raw, expected = arrays["x"], arrays["outputs"]
        except UNREADABLE as error:
            raise BundleError(f"the bundle's {SMOKE} cannot be read", evidence=str(error)) from error
        if self.card.preprocess.size is not None:
            _images()  # to know now that it can
        answers = np.stack([self.outputs(sample)[0] for sample in raw])
        worst = float(np.abs(answers - expected).max())
        tolerance = self.card.tolerance * (LOOSE if self.fields.get("delegate") else 1)
        if worst > tolerance * (1 + 1e-6) or (answers.argmax(axis=1) != expected.argmax(axis=1)).any():
            raise BundleError(
                f"the model answers the smoke test differently here, by {worst:g}",
                evidence=f"{tolerance:g} was promised with {self.card.runtime} on {self.card.board}{self._where()}",
                do="do not use it here: report the board, its runtime's version and this line",
            )
        told = {"verdict": "ok", "samples": len(raw), "largest_difference": worst, "tolerance": tolerance}
        return {**told, **self.fields}

    def _where(self) -> str:
        on = self.fields.get("delegate")
        return f"; {self.card.compiled} answered on {on}: is it made of {self.card.model}?" if on else ""


def _images() -> Any:
    """The module that needs Pillow, imported only where images come in."""
    try:
        from tflite_edge.runner import images
    except ImportError as error:
        raise MissingError("Pillow cannot be imported", evidence=str(error), do="pip install pillow") from error
    return images


def _prove(path: str, digest: str) -> None:
    try:
        with open(path, "rb") as stream:
            found = hashlib.sha256(stream.read()).hexdigest()
    except OSError as error:
        raise BundleError(f"the bundle has no model {path}", evidence=str(error)) from error
    if found != digest:
        raise BundleError(f"{path} is not the model that was packed", do="install the bundle again")


def _array(path: str, data: Optional[bytes]) -> Array:
    try:
        with open(path, "rb") if data is None else io.BytesIO(data) as stream:  # numpy leaves an archive open
            values = np.load(stream, allow_pickle=False)
    except UNREADABLE as error:
        raise DataError(f"{path} is not a .npy file of numbers", evidence=str(error)) from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iufb":
        seen = f"it holds {values.dtype}" if isinstance(values, np.ndarray) else "it is an .npz"
        raise DataError(f"{path} is not a .npy file of numbers", evidence=seen)
    return values
