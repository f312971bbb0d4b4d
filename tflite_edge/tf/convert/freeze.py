"""A Keras model frozen into a SavedModel with batch size 1 and constants for variables, once for all variants.

`TFLiteConverter.from_keras_model` does this anew for each variant, tracing every layer (13-16 s for a
MobileNet against 1 s here). Batch size 1 also keeps SHAPE/STRIDED_SLICE/PACK out of the flatbuffer.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from tflite_edge.records.preprocess import Preprocess
from tflite_edge.tf.quiet import quiet


def freeze(model: Any, folder: Path, *, bake: Preprocess | None = None, raw_type: str = "float32") -> Path:
    """Write the frozen SavedModel into `folder`. Its signature serving_default keeps the model's names.

    bake: put this preprocessing's arithmetic in front, so that the input takes raw values 0..255 of
    `raw_type` ("float32", or "uint8" for models that compute in float).
    """
    with quiet():
        import tensorflow as tf

        frozen = graph(model, bake=bake, raw_type=raw_type)
        output_name = _name(model.output_names[0], "output")
        if output_name == frozen.spec.name:
            output_name += "_out"
        serve = tf.function(lambda tensor: {output_name: frozen(tensor)}, autograph=False).get_concrete_function(
            frozen.spec
        )
        # Swish brings a gradient of its own, which captures a tensor of the graph before freezing and cannot be saved;
        # nobody differentiates a frozen graph.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(tf.Module(), str(folder), signatures={"serving_default": serve}, options=options)
    return folder


class Frozen(NamedTuple):
    """A model's graph with constants for variables. spec: of its one input, a batch of 1."""

    function: Any
    spec: Any

    def __call__(self, tensor: Any) -> Any:
        return self.function(tensor)[0]


def graph(model: Any, *, bake: Preprocess | None = None, raw_type: str = "float32") -> Frozen:
    """The frozen graph of `model`. bake, raw_type: as in `freeze`."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    name = _name(model.inputs[0].name, "input")
    spec = tf.TensorSpec([1, *model.inputs[0].shape[1:]], raw_type if bake else "float32", name=name)

    def answer(raw: Any) -> Any:
        values = tf.cast(raw, tf.float32) if raw.dtype != tf.float32 else raw
        if bake and not bake.is_identity:
            # Multiply and add with constants: two operators that every runtime quantises.
            scale = [1 / std for std in bake.std]
            values = values * tf.constant(scale) + tf.constant(_shift(bake), tf.float32)
        return model(values, training=False)

    function = tf.function(answer, autograph=False).get_concrete_function(spec)
    return Frozen(convert_variables_to_constants_v2(function), spec)


def _shift(bake: Preprocess) -> list[float]:
    count = max(len(bake.mean), len(bake.std))
    means, stds = bake.mean * (count // len(bake.mean)), bake.std * (count // len(bake.std))
    return [-mean / std for mean, std in zip(means, stds, strict=True)]


def _name(tensor_name: str, default: str) -> str:
    """A signature's names are Python identifiers."""
    name = re.sub(r"\W", "_", tensor_name.split(":", maxsplit=1)[0].rsplit("/", maxsplit=1)[-1])
    return name if re.match(r"[A-Za-z]", name) else default
