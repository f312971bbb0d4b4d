"""A trainable model opened on a runtime: its signatures as functions."""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional

import numpy as np

from tflite_edge.harness.head import OPTIMIZER, Head, model_sha256
from tflite_edge.harness.pack import check_images
from tflite_edge.harness.preprocess import Array, dequantize, encoder
from tflite_edge.harness.runtime import Chosen, open_interpreter, refusals
from tflite_edge.records.errors import DataError, ModelError
from tflite_edge.records.learning import SIGNATURES, SPARE_BIAS
from tflite_edge.records.preprocess import Preprocess


class Trainable:
    """One trainable file, and the file of its features where that is another one.

    classes: outputs; known: the first so many have a class of the model's own. batch: samples of a training step.
    sha256: what heads of it are marked with. Raises ModelError for a file that cannot learn.
    """

    def __init__(self, model: str, chosen: Chosen, threads: int, features: Optional[str] = None) -> None:
        self.path, self.chosen, self.sha256 = model, chosen, model_sha256(model, features)
        interpreter = open_interpreter(model, chosen, threads)
        found = interpreter.get_signature_list()
        missing = [name for name in SIGNATURES if name not in found]
        if missing or "recognize" not in found:
            raise ModelError(
                f"{model} cannot learn: it has no signature {missing[0] if missing else 'recognize'}",
                evidence="signatures: " + (", ".join(sorted(found)) or "none"),
                do="make one with `tflite-edge convert --trainable`: NAME-trainable-....tflite",
            )
        with refusals(model, chosen):
            self._run = {name: interpreter.get_signature_runner(name) for name in found}
            settings = self._run["settings"]()
        self.learning_rate, self.known = float(settings["learning_rate"]), int(settings["classes"])
        self.batch, self._width = (int(size) for size in self._run["train"].get_input_details()["features"]["shape"])
        self.classes = int(self._run["train"].get_input_details()["labels"]["shape"][1])
        self._features = open_interpreter(features, chosen, threads) if features else None
        if not features and "represent" not in found:
            raise ModelError(
                f"{model} is a head: its features are computed by another file",
                do="name the NAME-trainable-features-....tflite that was made with it (--features)",
            )

    def check(self, images: Array, path: str) -> None:
        """Raise DataError unless these are what `features` takes."""
        if self._features is not None:
            check_images(images, self._features.get_input_details(), path)
        else:
            check_images(images, list(self._run["infer"].get_input_details().values()), path)

    def features(self, images: Array, record: Preprocess) -> Array:
        """float32 [N, F] of raw images [N, ...]."""
        represent = self._represent(record, images.dtype)
        with refusals(self.path, self.chosen):
            return np.stack([represent(image) for image in images])

    def infer(self, images: Array, record: Preprocess) -> Array:
        """float32 [N, K]: the whole way from raw images [N, ...], one at a time."""
        run, (name, details) = self._run["infer"], self._only_input("infer")
        if self._features is None:
            prepare = encoder(images.dtype, record, details["dtype"], *details["quantization"])
        else:
            prepare = self._represent(record, images.dtype)
        with refusals(self.path, self.chosen):
            return np.concatenate([run(**{name: prepare(image)[np.newaxis]})["output"] for image in images])

    def recognize(self, features: Array) -> Array:
        """float32 [N, K] of features [N, F], a batch at a time."""
        answers = []
        with refusals(self.path, self.chosen):
            for at in range(0, len(features), self.batch):
                part = features[at : at + self.batch]
                answers.append(self._run["recognize"](features=self._filled(part))["output"][: len(part)])
        return np.concatenate(answers)

    def train(self, features: Array, labels: Array, learning_rate: float) -> float:
        """The loss of one step on features [n, F] with class numbers [n], n at most `batch`."""
        wanted = np.zeros((self.batch, self.classes), np.float32)
        wanted[np.arange(len(labels)), labels] = 1.0
        with refusals(self.path, self.chosen):
            rate = np.array([learning_rate], np.float32)
            return float(self._run["train"](features=self._filled(features), labels=wanted, learning_rate=rate)["loss"])

    def save(self) -> Dict[str, Array]:
        """Every variable by name, float32."""
        with refusals(self.path, self.chosen):
            return {name: np.array(value, np.float32) for name, value in self._run["save"]().items()}

    def restore(self, variables: Dict[str, Array]) -> None:
        with refusals(self.path, self.chosen):
            self._run["restore"](**variables)

    def weights(self) -> Dict[str, Array]:
        return {name: value for name, value in self.save().items() if not name.startswith(OPTIMIZER)}

    def begin(self, weights: Dict[str, Array]) -> None:
        """Take these weights, and an optimiser that has not begun."""
        self.restore({**rested(self.save()), **weights})

    def check_head(self, head: Head, path: str) -> None:
        """Raise DataError unless `head` is one of this model."""
        if head.facts.model_sha256 != self.sha256:
            raise DataError(
                f"{path} was learnt with another model than {self.path}",
                evidence=f"it is of SHA-256 {head.facts.model_sha256[:12]}..., the model has {self.sha256[:12]}...",
                do="give the file that it was learnt with, or learn anew into another -o",
            )
        mine = {name: value.shape for name, value in self.weights().items()}
        theirs = {name: value.shape for name, value in head.weights.items()}
        if mine != theirs:
            raise DataError(f"{path} does not hold the weights of {self.path}", evidence=f"{theirs}\n{mine}")

    def _represent(self, record: Preprocess, raw_dtype: Any) -> Callable[[Array], Array]:
        """A function from one raw image [...] to its features, float32 [F]."""
        if self._features is None:
            run = self._run["represent"]
            name, details = self._only_input("represent")
            encode = encoder(raw_dtype, record, details["dtype"], *details["quantization"])
            return lambda image: np.asarray(run(**{name: encode(image)[np.newaxis]})["features"]).reshape(-1)
        interpreter = self._features
        source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        if int(np.prod(sink["shape"])) != self._width:
            raise ModelError(
                "the file of the features does not belong to this head",
                evidence=f"it gives {list(map(int, sink['shape']))}, the head takes {self._width} features",
            )
        encode = encoder(raw_dtype, record, source["dtype"], *source["quantization"])

        def represent(image: Array) -> Array:
            interpreter.set_tensor(source["index"], encode(image)[np.newaxis])
            interpreter.invoke()
            return dequantize(interpreter.get_tensor(sink["index"]), *sink["quantization"]).reshape(-1)

        return represent

    def _only_input(self, signature: str) -> Any:
        (item,) = self._run[signature].get_input_details().items()
        return item

    def _filled(self, features: Array) -> Array:
        """[batch, F]: rows of zeros after the given ones."""
        if len(features) == self.batch:
            return features
        return np.concatenate([features, np.zeros((self.batch - len(features), self._width), np.float32)])


def rested(variables: Dict[str, Array]) -> Dict[str, Array]:
    """The variables with an optimiser that has not begun: moments 0, and 1 for the powers of Adam's betas."""
    return {
        name: np.full_like(value, float("decay" in name)) if name.startswith(OPTIMIZER) else value
        for name, value in variables.items()
    }


def with_new_classes(weights: Dict[str, Array], old: Any, new: Any) -> Dict[str, Array]:
    """The weights with spare outputs opened for the classes `new`: they begin as the mean of the classes `old`.

    From SPARE_BIAS, where no answer reaches them, no gradient would bring them up either.
    """
    opened = {name: value.copy() for name, value in weights.items()}
    for number in new:
        if opened["bias"][number] <= SPARE_BIAS / 2:
            for name in ("kernel", "bias"):
                opened[name][..., number] = opened[name][..., list(old)].mean(axis=-1)
    return opened
