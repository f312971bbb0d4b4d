"""The variants of one source as flatbuffers, each made once and then found in the cache."""

from __future__ import annotations

import functools
import tempfile
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tflite_edge import __version__
from tflite_edge.artifact import cached, key_of, sha256
from tflite_edge.flatbuffer.embed import About, embed
from tflite_edge.records.conversion import STATIC, Conversion
from tflite_edge.records.errors import RecipeError
from tflite_edge.records.plain import to_plain
from tflite_edge.tf.convert.convert import convert
from tflite_edge.tf.convert.freeze import freeze, graph
from tflite_edge.tf.convert.quantize import quantize, require
from tflite_edge.tf.convert.trainable import split, trainable
from tflite_edge.tf.data.dataset import Split
from tflite_edge.tf.source import Source, tensorflow_version


class Variants:
    """Makes variants of one source; freezes each model once for each kind of input, when first needed."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._frozen: dict[str, Path] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="tflite-edge-")

    def of(self, source: Source) -> Variants:
        """Those of another source, in the same folder: the same model is not frozen again."""
        others = copy(self)
        others.source = source
        return others

    def __enter__(self) -> Variants:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def make(self, conversion: Conversion) -> Path:
        """The path of the flatbuffer in the cache. Raises what `convert` raises."""
        source = self.source.behind(conversion)
        data = source.data
        key: list[Any] = [source.fingerprint, to_plain(replace(conversion, original=False))]
        if conversion.bake:
            if not data.pool.are_images:
                raise RecipeError("bake needs images", evidence=f"{data.pool.name} holds other values")
            key += [to_plain(data.preprocess)]
        if conversion.mode in STATIC:
            key += [data.calibration.sha256, to_plain(data.calibration.preprocess)]
            if conversion.bake and not data.calibration.pool.are_images:
                raise RecipeError("bake needs raw images to calibrate with", evidence=data.calibration.pool.name)
        about = _about(source, conversion)
        key += [to_plain(source.recipe.head), len(data.pool.classes)] if conversion.trainable else [to_plain(about)]
        if conversion.quantizer == "litert":
            key += [require()]

        def fill(folder: Path) -> None:
            if conversion.trainable:
                self._trainable(source, conversion, folder)
                return
            flatbuffer = quantize(
                self._freeze(source, conversion),
                conversion,
                self._calibration(conversion),
                deadline_s=source.recipe.target.deadline_s,
            )
            (folder / "model.tflite").write_bytes(embed(flatbuffer, about))

        return cached("flatbuffer", key_of(key, *makers()), fill) / "model.tflite"

    def float_twin(self, conversion: Conversion) -> Path:
        """The float flatbuffer that an int8 one is quantised from: of the model before any trained quantisation, with
        the same input (raw values where baked). Raises what `convert` raises."""
        source = self._untrained(conversion)
        twin = Conversion("float32", flex=conversion.flex)

        def fill(folder: Path) -> None:
            (folder / "model.tflite").write_bytes(convert(self._freeze(source, conversion), twin))

        bake = to_plain(source.data.preprocess) if conversion.bake else None
        key = key_of("twin", source.fingerprint, to_plain(twin), bake, *makers())
        return cached("flatbuffer", key, fill) / "model.tflite"

    def _untrained(self, conversion: Conversion) -> Source:
        return replace(self.source, quantized=None).behind(conversion)

    def calibration(self, conversion: Conversion, split: Split | None = None) -> np.ndarray:
        """float32 [N, ...], what the frozen model takes: of the calibration samples, or of others."""
        split = self.source.data.calibration if split is None else split
        return _anchored(split.raw) if conversion.bake else split.x

    def about(self, conversion: Conversion) -> About:
        """What a file that is made of the source elsewhere is to say of itself."""
        return _about(self.source, conversion)

    def _trainable(self, source: Source, conversion: Conversion, folder: Path) -> None:
        """`model.tflite`, and `features.tflite` where the backbone cannot be in one file with a head that learns."""
        parts = split(source.model)
        bake = source.data.preprocess if conversion.bake else None
        if conversion.mode in STATIC:
            frozen = freeze(parts.backbone, Path(self._folder.name) / "features", bake=bake)
            features = convert(frozen, conversion, self._calibration(conversion))
            (folder / "features.tflite").write_bytes(features)
            (folder / "model.tflite").write_bytes(trainable(parts, source.recipe.head))
        else:
            raw = "uint8" if bake else "float32"
            whole = trainable(
                parts, source.recipe.head, conversion.mode, graph(parts.backbone, bake=bake, raw_type=raw)
            )
            (folder / "model.tflite").write_bytes(whole)

    def _freeze(self, source: Source, conversion: Conversion) -> Path:
        raw = "float32" if conversion.mode in STATIC else "uint8"
        inside = key_of(raw, to_plain(source.data.preprocess)) if conversion.bake else "normalized"
        kind = f"{source.fingerprint}-{inside}"
        if kind not in self._frozen:
            bake = source.data.preprocess if conversion.bake else None
            self._frozen[kind] = freeze(source.model, Path(self._folder.name) / kind, bake=bake, raw_type=raw)
        return self._frozen[kind]

    def _calibration(self, conversion: Conversion) -> np.ndarray | None:
        if conversion.mode not in STATIC:
            return None
        return self.calibration(conversion)


def _about(source: Source, conversion: Conversion) -> About:
    """What the file says of itself: nothing of the machine or the person, and the same for the same model and data."""
    data = source.data
    record, name = data.preprocess, Path(data.pool.name).name
    if conversion.bake:
        record = replace(record, mean=(0.0,), std=(1.0,))
    said = (
        f"{source.recipe.name}: {data.task} learnt from {name}; {conversion.label}, made by tflite-edge {__version__}"
    )
    labels = tuple(data.pool.classes) if data.task == "classification" else ()
    return About(source.recipe.name, said, source.fingerprint[:12], labels, record)


def makers() -> tuple[str, ...]:
    """What else the bytes of a flatbuffer depend on, for its key."""
    return tensorflow_version(), __version__, _code()


# Beside tf/convert and flatbuffer: what chooses and measures the samples that the ranges come from.
DECIDING = ("workshop.py", "calibration/advice.py", "harness/activations.py", "harness/layers.py", "tf/data/dataset.py")


@functools.cache
def _code() -> str:
    """Of the code that makes flatbuffers: while it is worked on, the version stays the same."""
    house = Path(__file__).parents[2]
    folders = [path for folder in ("tf/convert", "flatbuffer") for path in sorted((house / folder).glob("*.py"))]
    return key_of([sha256(path) for path in (*folders, *(house / name for name in DECIDING))])


def _anchored(raw: np.ndarray) -> np.ndarray:
    """float32 copy of uint8 images whose first image holds a 0 and a 255 in its corners.

    Raw bytes can be fed without arithmetic only when the input's quantisation is exactly scale 1 over
    0..255; two corner pixels make the calibrated range that, whatever images were drawn.
    """
    samples = raw.astype(np.float32)
    samples[0, 0, 0], samples[0, -1, -1] = 0.0, 255.0
    return samples
