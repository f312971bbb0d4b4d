"""The user's own model: looked through before it is loaded, because model files come from strangers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tflite_edge.records.errors import ModelError
from tflite_edge.tf.models import look, strangers, wrappers
from tflite_edge.tf.models.wrappers import is_quantized
from tflite_edge.tf.quiet import quiet

__all__ = ["Loaded", "is_quantized", "load", "read", "refuse_nan"]


@dataclass(frozen=True)
class Loaded:
    """A tf_keras model, and what was done to the file's model on the way: rebuilt, unwrapped."""

    model: Any
    notes: tuple[str, ...] = ()


def load(path: Path, *, allow_code: bool = False, input_shape: tuple[int, ...] | None = None) -> Any:
    """The model of `read`, without its notes."""
    return read(path, allow_code=allow_code, input_shape=input_shape).model


def read(path: Path, *, allow_code: bool = False, input_shape: tuple[int, ...] | None = None) -> Loaded:
    """A tf_keras model from .h5 or .keras, of Keras 2 or 3, or a SavedModel folder; without a compiled loss.

    Keras 3 models are rebuilt in tf_keras; TF-MOT's wrappers for pruning and clustering are taken off.
    Raises ModelError for what cannot be read or rebuilt, holds code, or has NaN weights.
    """
    notes: tuple[str, ...] = ()
    if path.is_dir():
        model = _saved_model(path, allow_code)
    else:
        version, config = look.version(path), look.config(path)
        strangers.refuse_keras_file(path, config, allow_code=allow_code)
        if look.major(version) >= 3:
            model, notes = _keras3_file(path, config, version, allow_code)
        else:
            model, notes = _keras2_file(path, config, allow_code)
    model = _close_input(path, model, input_shape)
    refuse_nan(path, model)
    return Loaded(model, notes)


def _keras2_file(path: Path, config: Any, allow_code: bool) -> tuple[Any, tuple[str, ...]]:
    wrapped = wrappers.KINDS & look.classes(config)
    do = "save it again with tf_keras, or as a SavedModel; custom layers are not known here"
    if wrapped & wrappers.QUANTIZED:
        # TF-MOT lists kernels twice when it wraps a layer and once when the wrapper is loaded.
        do = "save it as .h5: tf_keras does not read models trained quantised back from .keras"
    with _reading(path, "Keras 2 (tf_keras)", do), wrappers.scope() if wrapped else nullcontext():
        import tf_keras

        model = tf_keras.models.load_model(path, compile=False, safe_mode=not allow_code)
    return wrappers.unwrap(model) if wrapped else (model, ())


def _keras3_file(path: Path, config: Any, version: str, allow_code: bool) -> tuple[Any, tuple[str, ...]]:
    with _reading(path, f"Keras 3 (Keras {version} wrote it)", look.EXPORT), TemporaryDirectory() as folder:
        import keras

        from tflite_edge.tf.models.keras3.operations import name_modules

        readable = look.copy_with(path, config, Path(folder)) if name_modules(config) else path
        model = keras.saving.load_model(readable, compile=False, safe_mode=not allow_code)
    refuse_nan(path, model)
    from tflite_edge.tf.models.keras3 import bridge

    try:
        bridged = bridge(model)
    except ModelError as error:
        raise ModelError(f"{path}: {error.what}", evidence=error.evidence, do=error.do) from error
    how = f"rebuilt in Keras 2 from Keras {version}, largest difference {bridged.difference:.1g} on random inputs"
    return bridged.model, (how, *bridged.notes)


@contextmanager
def _reading(path: Path, reader: str, do: str) -> Iterator[None]:
    """Whatever goes wrong in there is the file's fault: Keras raises dozens of kinds of errors for broken files."""
    with quiet() as talk:
        try:
            yield
        except Exception as error:
            raise ModelError(
                f"{path} cannot be loaded by {reader}",
                evidence=f"{type(error).__name__}: {str(error)[:600] or talk.tail()}",
                do=do,
            ) from error


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

    specs, outputs = list(signature.structured_input_signature[1].values()), list(signature.structured_outputs)
    if len(specs) != 1 or len(outputs) != 1:
        raise ModelError(
            f"{path} has {len(specs)} inputs and {len(outputs)} outputs; one of each can be converted yet",
            do="export a signature with one input and one output",
        )
    (spec,) = specs
    if spec.shape.rank is None:
        raise ModelError(
            f"{path} leaves open how many axes its input has",
            evidence=f"{spec.name}: {spec.shape}",
            do="export a signature with tf.TensorSpec([None, HEIGHT, WIDTH, CHANNELS], tf.float32)",
        )

    class Signature(tf_keras.layers.Layer):
        """Calls the signature; holds the loaded object, whose variables would be freed otherwise."""

        of_saved_model = True  # it can be converted, and not trained

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


def refuse_nan(whose: Any, model: Any, do: str = "its training diverged: go back to an earlier checkpoint") -> None:
    """Raises ModelError for a tf_keras or Keras 3 model with weights that are no numbers."""
    import numpy as np

    for weight in model.weights:
        values = np.asarray(weight)
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            name = getattr(weight, "path", weight.name)  # Keras 3 keeps the layer's name in the path
            raise ModelError(
                f"{whose} has NaN or infinite weights",
                evidence=f"{name}: {int((~np.isfinite(values)).sum())} of {values.size}",
                do=do,
            )
