"""The models and data that are measured: made once, in a child with TensorFlow, and kept in the project's cache."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from benchmarks.process import HERE, script
from tflite_edge import __version__
from tflite_edge.artifact import cached, key_of

RECIPE = HERE.parent / "models" / "mobilenet.toml"


def zoo_files(name: str, *, alpha: float, size: int, classes: int, modes: tuple[str, ...], images: int) -> Path:
    """A folder with `MODE.tflite` of a zoo model with random weights and, with `images`, a `pack.npz` of so many.

    The batch normalisation has seen the images, so that the answers differ from image to image.
    """
    return _made("ours/zoo_files", name, f"{alpha:g}", f"{size}", f"{classes}", ",".join(modes), f"{images}")


def trained(recipe: Path = RECIPE) -> Path:
    """A folder with the recipe's trained model as `model.h5`, its data as `train.npz` (raw x, and y),
    `calibration.npy` (normalised) and the pack `test.npz`, and `preprocess.json`."""
    return _made("ours/trained", recipe)


def _made(name: str, *arguments: str | Path) -> Path:
    texts = [(HERE / f"{name}.py").read_text(), *(a.read_text() if isinstance(a, Path) else a for a in arguments)]
    key = key_of(texts, version("tensorflow"), __version__)

    def make(folder: Path) -> None:
        script(name, folder, *arguments)

    return cached("benchmark", key, make)
