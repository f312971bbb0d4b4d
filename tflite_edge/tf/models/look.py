"""What a Keras file says of itself, read as data: nothing in it is run, and no class of it is made."""

from __future__ import annotations

import builtins
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tflite_edge.records.errors import ModelError

# Where a config may take classes and functions from: Keras's own, of which no part but these belongs in a model
# (keras.utils, keras.config and others have been used to reach files and to switch safe_mode off: CVE-2025-8747,
# CVE-2025-9906), and TF-MOT's wrappers.
_PARTS = (
    "activations applications constraints dtype_policies engine initializers layers losses metrics mixed_precision "
    "models ops optimizers quantizers random regularizers"
)
TRUSTED_MODULES = re.compile(
    rf"(tf_)?keras(\.src)?(\.({_PARTS.replace(' ', '|')})(\..*)?)?"
    r"|tensorflow_model_optimization\.python\.core\.(sparsity|clustering|quantization)\.keras\..*"
)
# Layers that load a file or another framework's pickled module.
REACHING_LAYERS = ("TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
ALLOW = "if you trust whoever made it, add --allow-code"
EXPORT = "in Keras 3: model.export('folder'), then convert that SavedModel folder"


def _broken(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{path} is truncated or not a Keras model", evidence=str(error), do="export it again")


def version(path: Path) -> str:
    """The Keras version that wrote the file, as it says itself; "" when it does not."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return str(json.loads(archive.read("metadata.json")).get("keras_version", ""))
        import h5py

        with h5py.File(path, "r") as file:
            return _text(
                file.attrs.get("keras_version", file.get("model_weights", file).attrs.get("keras_version", ""))
            )
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, RuntimeError) as error:
        raise _broken(path, error) from error


def config(path: Path) -> Any:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return json.loads(archive.read("config.json"))
        import h5py

        with h5py.File(path, "r") as file:
            if "model_config" not in file.attrs:
                raise ModelError(
                    f"{path} holds weights but no model",
                    evidence="no attribute model_config",
                    do="save the whole model: model.save(path), not model.save_weights(path)",
                )
            return json.loads(_text(file.attrs["model_config"]))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, RuntimeError) as error:
        raise _broken(path, error) from error


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def copy_with(path: Path, changed: Any, folder: Path) -> Path:
    """A copy of the file in `folder` with another config: for what a loader writes and does not read."""
    copy = folder / path.name
    text = json.dumps(changed)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
            for name in old.namelist():
                new.writestr(name, text if name == "config.json" else old.read(name))
        return copy
    import h5py

    shutil.copyfile(path, copy)
    with h5py.File(copy, "r+") as file:
        file.attrs["model_config"] = text
    return copy


def major(version: str) -> int:
    """3 of "3.15.1"; 2 where a file does not say."""
    number = version.split(".", maxsplit=1)[0]
    return int(number) if number.isdigit() else 2


def classes(node: Any) -> set[str]:
    """All class names in a config, without their packages: {"Functional", "Dense", ...}."""
    if isinstance(node, list):
        return set().union(*(classes(item) for item in node))
    if not isinstance(node, dict):
        return set()
    own = {_kind(node)} if "class_name" in node else set()
    return own.union(*(classes(value) for value in node.values()))


def refuse_code(path: Path, config: Any, version: str, *, allow_code: bool) -> None:
    """Raise ModelError where loading would run Python that is in the file, or import what is not Keras's."""
    found = sorted(set(_code_in(config)))
    if found and not allow_code:
        foreign = major(version) >= 3 and not any("Lambda" in item for item in found)
        raise ModelError(
            f"{path} would run code of whoever made it",
            evidence="\n".join(found[:5]),
            do=f"{EXPORT} (layers that are not Keras's have no twin in tf_keras)" if foreign else ALLOW,
        )


def _kind(node: dict[str, Any]) -> str:
    return str(node.get("class_name", "")).rsplit(">", maxsplit=1)[-1]


def _code_in(node: Any, layer: str = "") -> Iterator[str]:
    """Lambda layers (pickled bytecode), layers that reach for files, classes and functions from untrusted modules."""
    if isinstance(node, list):
        for item in node:
            yield from _code_in(item, layer)
    if not isinstance(node, dict):
        return
    kind, inner, module = _kind(node), node.get("config"), node.get("module")
    name = str(inner.get("name", layer)) if isinstance(inner, dict) else layer
    if kind in ("Lambda", "__lambda__"):
        yield f"Lambda layer {name!r}"
    if kind in REACHING_LAYERS:
        yield f"{kind} loads what is not in the file (layer {name!r})"
    if isinstance(inner, dict) and isinstance(inner.get("vocabulary"), str):
        yield f"{kind} reads the file {inner['vocabulary']!r} (layer {name!r})"
    if isinstance(module, str) and "class_name" in node and not _is_trusted(module, inner):
        yield f"{node['class_name']} from the module {module!r} (layer {name!r})"
    for value in node.values():
        yield from _code_in(value, name)


def _is_trusted(module: str, inner: Any) -> bool:
    """Functions of Keras are said to be from `builtins`; Python's own of that module are not for models."""
    if module == "builtins":
        return not (isinstance(inner, str) and hasattr(builtins, inner))
    return TRUSTED_MODULES.fullmatch(module) is not None
