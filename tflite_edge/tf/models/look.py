"""What a Keras file says of itself, read as data: nothing in it is run, and no class of it is made."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from tflite_edge.records.errors import ModelError
from tflite_edge.tf.models.strangers import is_archive

EXPORT = "in Keras 3: model.export('folder'), then convert that SavedModel folder"


def _broken(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{path} is truncated or not a Keras model", evidence=str(error), do="export it again")


def version(path: Path) -> str:
    """The Keras version that wrote the file, as it says itself; "" when it does not."""
    try:
        if is_archive(path):
            with zipfile.ZipFile(path) as archive:
                return str(json.loads(archive.read("metadata.json")).get("keras_version", ""))
        import h5py

        with h5py.File(path, "r") as file:
            return _text(
                file.attrs.get("keras_version", file.get("model_weights", file).attrs.get("keras_version", ""))
            )
    except (OSError, KeyError, ValueError, AttributeError, zipfile.BadZipFile, RuntimeError) as error:
        raise _broken(path, error) from error


def config(path: Path) -> Any:
    try:
        if is_archive(path):
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
    if is_archive(path):
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


def _kind(node: dict[str, Any]) -> str:
    return str(node.get("class_name", "")).rsplit(">", maxsplit=1)[-1]
