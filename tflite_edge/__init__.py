"""tflite-edge: from a Keras model to a small, fast and verified TFLite model on a Raspberry Pi.

    import tflite_edge as edge

    manifest = edge.convert(edge.recipe_for("mobilenet"), out="build/mobilenet")
    print(manifest.verdict, [model.file for model in manifest.models])

`convert`, `evaluate`, `compare`, `bench`, `estimate`, `learn` and `inspect` are the commands' verbs; all is loaded on
first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "convert": "tflite_edge.pipeline",
    "evaluate": "tflite_edge.evaluation",
    "compare": "tflite_edge.comparison",
    "compare_layers": "tflite_edge.layers",
    "bench": "tflite_edge.targets",
    "estimate": "tflite_edge.targets",
    "learn": "tflite_edge.learning",
    "inspect": "tflite_edge.flatbuffer",
    "recipe_for": "tflite_edge.records.recipe",
    "Recipe": "tflite_edge.records.recipe",
    "Job": "tflite_edge.records.job",
    "EdgeError": "tflite_edge.records.errors",
}
__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
