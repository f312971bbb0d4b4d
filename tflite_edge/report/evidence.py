"""What the report of one model is written from: the manifest, and what was found beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tflite_edge.flatbuffer.facts import Facts
from tflite_edge.records.layers import Layers
from tflite_edge.records.manifest import Manifest, Variant
from tflite_edge.records.plain import to_plain
from tflite_edge.records.realised import chosen_of
from tflite_edge.records.verdict import Finding

SHARES = ("top1", "top5", "reference_top1", "agreement", "auc", "reference_auc", "sparsity", "half_sparsity")


@dataclass(frozen=True)
class Evidence:
    """facts: file -> what its bytes hold, of the files that are there and what the manifest says they are.

    layers: the noise of a quantised file's layers, against `layers_files` (float, quantised); None and `layers_why`.
    missing: what could not be told, and what to do.
    """

    manifest: Manifest
    facts: Mapping[str, Facts]
    layers: Layers | None = None
    layers_files: tuple[str, str] = ("", "")
    layers_why: str = ""
    missing: Sequence[Finding] = field(default_factory=tuple)

    @property
    def chosen(self) -> Variant | None:
        return chosen_of(self.manifest.models)

    @property
    def made(self) -> list[Variant]:
        return [model for model in self.manifest.models if model.file]

    @property
    def float_model(self) -> Variant | None:
        """The float file that the others are held against: the model as it came, else the one made of it."""
        floats = [model for model in self.made if model.mode == "float32" and model.learning is None]
        return next((model for model in floats if model.original), floats[0] if floats else None)

    @property
    def plain_int8(self) -> Variant | None:
        """Plain int8 of the model as it came; the int8 file itself where no step was taken before it."""
        found = [model for model in self.made if model.mode == "int8" and model.learning is None]
        original = next((model for model in found if model.original), None)
        return original or (found[0] if found and not self.manifest.source.steps else None)


MOST_CLASSES = 100_000
MOST = 1e15  # of any figure; what is larger was not measured


def nonsense(manifest: Manifest) -> str:
    """The first figure that nothing can have measured, and that no axis could show; "" where all are sound."""
    for model in manifest.models:
        plain = to_plain(model)
        if path := next(_impossible(plain, model.file or model.mode), None):
            return path
        for pair, images in ((model.score.confusion or {}) if model.score else {}).items():
            if (
                not re.fullmatch(r"\d{1,9},\d{1,9}", pair)
                or images < 0
                or max(map(int, pair.split(","))) >= MOST_CLASSES
            ):
                return f"{model.file}: confusion {pair!r}: {images}"
    return ""


def _impossible(value: Any, path: str) -> Iterator[str]:
    """Places of numbers that are none, too large, or as a time, a share or a size below zero."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _impossible(inner, f"{path}: {key}" if path.count(":") < 1 else f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from _impossible(inner, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        name = path.rpartition(".")[2].rpartition(" ")[2]
        share = name in SHARES
        if not sound(value, below=not (share or name.endswith(("_s", "bytes")))) or (share and value > 1):
            yield f"{path}: {shown(value)}"


def sound(value: float | None, *, below: bool) -> bool:
    """A figure that can have been measured, or None. below: it may be below zero."""
    return value is None or (abs(value) <= MOST and (below or value >= 0))


def shown(value: float) -> str:
    """A figure that may be none: JSON's whole numbers have no end."""
    try:
        return f"{value:g}"
    except OverflowError:
        return f"a number of {len(str(abs(int(value))))} digits"


def twins(manifest: Manifest) -> tuple[Variant, Variant] | None:
    """(float, quantised) files of one network whose layers can be compared: of what was made, else of the originals.

    After qat the originals go first: the other float files are of the model before it, and what that training changed
    would count as noise of the quantisation.
    """

    def first(modes: Sequence[str], original: bool) -> Variant | None:
        found = [m for m in manifest.models if m.file and m.original == original and m.learning is None]
        return next((m for mode in modes for m in found if m.mode == mode), None)

    trained = any(step.name == "qat" for step in manifest.source.steps)
    for original in (True, False) if trained else (False, True):
        pair = first(("float32", "float16"), original), first(("int8", "int16x8"), original)
        if pair[0] and pair[1]:
            return pair[0], pair[1]
    return None
