"""The user's own model: looked through before it is loaded, because model files come from strangers."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from tflite_edge.records.errors import ModelError
from tflite_edge.tf.models import strangers
from tflite_edge.tf.quiet import quiet


def load(path: Path, *, allow_code: bool = False, input_shape: tuple[int, ...] | None = None) -> Any:
    """A tf_keras model from .h5, tf_keras .keras or a SavedModel folder; without a compiled loss.

    Raises ModelError for what cannot be read, was written by Keras 3, holds code, or has NaN weights.
    """
    if path.is_dir():
        model = _saved_model(path, allow_code)
    else:
        _refuse_keras3(path, _version(path))
        strangers.refuse_keras_file(path, _config(path), allow_code=allow_code)
        model = _keras_file(path, allow_code)
    model = _close_input(path, model, input_shape)
    _refuse_nan(path, model)
    return model


def _keras_file(path: Path, allow_code: bool) -> Any:
    with quiet() as talk:
        import tf_keras

        try:
            return tf_keras.models.load_model(path, compile=False, safe_mode=not allow_code)
        except Exception as error:
            raise ModelError(
                f"{path} cannot be loaded by Keras 2 (tf_keras)",
                evidence=f"{type(error).__name__}: {str(error)[:600] or talk.tail()}",
                do="save it again with tf_keras, or as a SavedModel; custom layers are not known here",
            ) from error


def _broken(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{path} is truncated or not a Keras model", evidence=str(error), do="export it again")


def _version(path: Path) -> str:
    """The Keras version that wrote the file, as it says itself; "" when it does not."""
    try:
        if strangers.is_archive(path):
            with zipfile.ZipFile(path) as archive:
                return str(json.loads(archive.read("metadata.json")).get("keras_version", ""))
        import h5py

        with h5py.File(path, "r") as file:
            return _text(
                file.attrs.get("keras_version", file.get("model_weights", file).attrs.get("keras_version", ""))
            )
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, RuntimeError) as error:
        raise _broken(path, error) from error


def _config(path: Path) -> Any:
    try:
        if strangers.is_archive(path):
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


def _refuse_keras3(path: Path, version: str) -> None:
    if version and int(version.split(".", maxsplit=1)[0]) >= 3:
        raise ModelError(
            f"{path} was written by Keras {version}; only Keras 2 files can be loaded yet",
            evidence="the file names its own writer",
            do="in Keras 3: model.export('folder'), then convert that SavedModel folder",
        )


def _saved_model(path: Path, allow_code: bool) -> Any:
    """The serving signature of a SavedModel as a tf_keras model; no Python of its maker is run."""
    strangers.refuse_saved_model(path, allow_code=allow_code)
    with quiet():
        import tensorflow as tf

        try:
            loaded = tf.saved_model.load(str(path))
        except Exception as error:
            raise ModelError(f"{path} cannot be loaded", evidence=str(error)[:600], do="export it again") from error
    signature = loaded.signatures.get("serving_default")
    if signature is None:
        raise ModelError(
            f"{path} has no signature serving_default",
            evidence="signatures: " + (", ".join(loaded.signatures) or "none"),
            do="tf.saved_model.save(model, folder, signatures=...), or model.export(folder)",
        )
    return _as_keras(path, loaded, signature)


def _as_keras(path: Path, loaded: Any, signature: Any) -> Any:
    import tf_keras

    (spec, *more), outputs = signature.structured_input_signature[1].values(), list(signature.structured_outputs)
    if more or len(outputs) != 1:
        raise ModelError(
            f"{path} has {1 + len(more)} inputs and {len(outputs)} outputs; one of each can be converted yet",
            do="export a signature with one input and one output",
        )

    class Signature(tf_keras.layers.Layer):
        """Calls the signature; holds the loaded object, whose variables would be freed otherwise."""

        def __init__(self) -> None:
            super().__init__(name=outputs[0])
            self.loaded = loaded
            self.values = list(getattr(loaded, "variables", ()))  # so that Keras counts them

        def call(self, inputs: Any) -> Any:
            return signature(**{spec.name: inputs})[outputs[0]]

    inputs = tf_keras.Input(spec.shape[1:], dtype=spec.dtype, name=spec.name)
    return tf_keras.Model(inputs, Signature()(inputs), name=path.name)


def _close_input(path: Path, model: Any, shape: tuple[int, ...] | None) -> Any:
    """The model with one float input of known size; `shape` fills dimensions that the file leaves open."""
    import tf_keras

    if not getattr(model, "built", True) or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"{path} has {len(model.inputs or ())} inputs and {len(model.outputs or ())} outputs; "
            "one of each can be converted yet",
            do="save a model with one input and one output",
        )
    own = tuple(model.inputs[0].shape[1:])
    if model.inputs[0].dtype != "float32":
        raise ModelError(f"{path} takes {model.inputs[0].dtype.name}; float32 inputs can be converted yet")
    if shape is None and None in own:
        raise ModelError(
            f"{path} leaves its input size open: {list(own)}",
            evidence="a board needs fixed sizes",
            do="add --input HEIGHT,WIDTH,CHANNELS, or [model] input = [96, 96, 3]",
        )
    if shape is None or tuple(shape) == own:
        return model
    if len(shape) != len(own) or any(mine not in (None, given) for mine, given in zip(own, shape, strict=True)):
        raise ModelError(
            f"{path} takes {list(own)}, not {list(shape)}", do="leave input out, or give what the model takes"
        )
    inputs = tf_keras.Input(shape, name=model.inputs[0].name.split(":")[0])
    return tf_keras.Model(inputs, model(inputs), name=model.name)


def _refuse_nan(path: Path, model: Any) -> None:
    import numpy as np

    for weight in model.weights:
        values = weight.numpy()
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            raise ModelError(
                f"{path} has NaN or infinite weights",
                evidence=f"{weight.name}: {int((~np.isfinite(values)).sum())} of {values.size}",
                do="its training diverged: go back to an earlier checkpoint",
            )
