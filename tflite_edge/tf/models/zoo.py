"""The zoo: every model by name, in one literal table. Reading the table does not load TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tflite_edge.records.errors import MissingError, RecipeError
from tflite_edge.records.plain import nearest
from tflite_edge.records.recipe import ModelSource

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """build(input_shape, alpha, classes, weights, top) -> tf_keras model; weights is "imagenet" or None.

    input: default [height, width, channels]. normalize: a key of records.preprocess.NORMALIZATIONS.
    smallest: the least height and width that the architecture can take.
    """

    build: Callable[[Shape, float, int, str | None, bool], Any]
    input: Shape
    alpha: float
    normalize: str
    smallest: int
    about: str


def _mobilenet(shape: Shape, alpha: float, classes: int, weights: str | None, top: bool) -> Any:
    from tf_keras.applications import MobileNet

    # dropout 1e-3 is Keras's default for this model; given here because include_top=False ignores it.
    return MobileNet(input_shape=shape, alpha=alpha, weights=weights, classes=classes, include_top=top, dropout=1e-3)


def _mobilenet_v2(shape: Shape, alpha: float, classes: int, weights: str | None, top: bool) -> Any:
    from tf_keras.applications import MobileNetV2

    return MobileNetV2(input_shape=shape, alpha=alpha, weights=weights, classes=classes, include_top=top)


ZOO: dict[str, Entry] = {
    "mobilenet": Entry(_mobilenet, (64, 64, 1), 0.25, "-1..1", 32, "MobileNet v1 (Howard et al. 2017)"),
    "mobilenet_v2": Entry(_mobilenet_v2, (64, 64, 1), 0.35, "-1..1", 32, "MobileNet v2 (Sandler et al. 2018)"),
}


def entry(name: str) -> Entry:
    if name not in ZOO:
        raise RecipeError(f"no model called {name!r} in the zoo", do=nearest(name, ZOO))
    return ZOO[name]


def input_shape(source: ModelSource) -> Shape:
    """[height, width, channels] of the zoo model; refused when the architecture cannot take it."""
    chosen = entry(source.name)
    shape = source.input or chosen.input
    if len(shape) != 3 or min(shape[:2]) < chosen.smallest:
        raise RecipeError(
            f"{source.name} cannot take an input of {list(shape)}",
            do=f"[height, width, channels] with height and width of at least {chosen.smallest}",
        )
    return shape


def build(source: ModelSource, classes: int) -> Any:
    """The zoo model with random or ImageNet weights, ending in a softmax over `classes`.

    ImageNet weights come from Keras's cache or are downloaded as Keras does; with other classes than
    ImageNet's 1,000 the convolutional part keeps them and a new head is put on. Raises MissingError.
    """
    chosen, shape = entry(source.name), input_shape(source)
    alpha = chosen.alpha if source.alpha is None else source.alpha
    if source.weights != "imagenet":
        return chosen.build(shape, alpha, classes, None, True)
    if classes == 1000:
        return _imagenet(source, shape, alpha, top=True)
    import tf_keras

    base = _imagenet(source, shape, alpha, top=False)
    pooled = tf_keras.layers.GlobalAveragePooling2D(name="pool")(base.output)
    probabilities = tf_keras.layers.Dense(classes, activation="softmax", name="predictions")(pooled)
    return tf_keras.Model(base.input, probabilities, name=base.name)


def _imagenet(source: ModelSource, shape: Shape, alpha: float, *, top: bool) -> Any:
    from tflite_edge.tf.quiet import quiet

    with quiet():
        try:
            return entry(source.name).build(shape, alpha, 1000, "imagenet", top)
        except ValueError as error:  # Keras's own check of shape and alpha
            raise RecipeError(
                f"{source.name} has no ImageNet weights for input {list(shape)}, alpha {alpha}", evidence=str(error)
            ) from error
        except Exception as error:
            raise MissingError(
                "the ImageNet weights are not in Keras's cache and could not be downloaded",
                evidence=str(error),
                do="connect to the network once, put the file into ~/.keras/models, or use --weights train",
            ) from error
