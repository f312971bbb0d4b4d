"""The zoo: every model by name, in one literal table. Reading the table does not load TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tflite_edge.records.errors import MissingError, RecipeError
from tflite_edge.records.plain import nearest
from tflite_edge.records.recipe import ModelSource
from tflite_edge.tf.models import autoencoder, ds_cnn, efficientnet, mobilenet_sparse, resnet8, squeezenet

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """build(input_shape, classes, ...) -> tf_keras model; an anomaly detector has no classes.

    Where `alpha` is not None, build takes alpha=, the width multiplier. Where `imagenet`, it takes
    weights=, "imagenet" or None, and top=, False for the convolutional part alone.
    input: the default, [height, width, channels] as a rule; the channels are those of the data. normalize: a key of
    records.preprocess.NORMALIZATIONS. smallest: the least height and width that the architecture can take.
    about: what the name does not say, and who published it.
    """

    build: Callable[..., Any]
    input: Shape
    alpha: float | None
    normalize: str
    smallest: int
    about: str
    imagenet: bool = False
    task: str = "classification"


def _mobilenet(shape: Shape, classes: int, *, alpha: float, weights: str | None, top: bool) -> Any:
    from tf_keras.applications import MobileNet

    # dropout 1e-3 is Keras's default for this model; given here because include_top=False ignores it.
    return MobileNet(input_shape=shape, alpha=alpha, weights=weights, classes=classes, include_top=top, dropout=1e-3)


def _mobilenet_v2(shape: Shape, classes: int, *, alpha: float, weights: str | None, top: bool) -> Any:
    from tf_keras.applications import MobileNetV2

    return MobileNetV2(input_shape=shape, alpha=alpha, weights=weights, classes=classes, include_top=top)


def _mobilenet_v3(kind: str) -> Callable[..., Any]:
    """The V3 with hard-swish: the published accuracy is of that one, and both runtimes have it as an int8 operator.

    (A slow one: models/README.md.) Its Rescaling is left out: the preprocessing record does that, and an
    int8 file has two operators less.
    """

    def build(shape: Shape, classes: int, *, alpha: float, weights: str | None, top: bool) -> Any:
        from tf_keras import applications

        return getattr(applications, kind)(
            input_shape=shape, alpha=alpha, weights=weights, classes=classes, include_top=top,
            include_preprocessing=False,
        )  # fmt: skip

    return build


def _resnet50(shape: Shape, classes: int, *, weights: str | None, top: bool) -> Any:
    from tf_keras.applications import ResNet50

    model = ResNet50(input_shape=shape, weights=weights, classes=classes, include_top=top)
    if weights is not None:
        take_rgb(model)
    return model


def take_rgb(resnet: Any) -> None:
    """Turn the first kernel round: Keras's weights were trained on blue, green, red; we feed red, green, blue."""
    stem = resnet.get_layer("conv1_conv")
    kernel, bias = stem.get_weights()
    stem.set_weights([kernel[:, :, ::-1], bias])


def _nasnet_mobile(shape: Shape, classes: int, *, weights: str | None, top: bool) -> Any:
    from tf_keras.applications import NASNetMobile

    return NASNetMobile(input_shape=shape, weights=weights, classes=classes, include_top=top)


def _autoencoder(shape: Shape, classes: int) -> Any:  # noqa: ARG001 - it answers its input, not classes
    return autoencoder.build(shape)


# fmt: off
ZOO: dict[str, Entry] = {
    "mobilenet": Entry(
        _mobilenet, (64, 64, 1), 0.25, "-1..1", 32, "v1, Howard et al. 2017", imagenet=True),
    "mobilenet_v2": Entry(
        _mobilenet_v2, (64, 64, 1), 0.35, "-1..1", 32, "Sandler et al. 2018", imagenet=True),
    "mobilenet_v3_small": Entry(
        _mobilenet_v3("MobileNetV3Small"), (64, 64, 1), 0.75, "-1..1", 32,
        "Howard et al. 2019", imagenet=True),
    "mobilenet_v3_large": Entry(
        _mobilenet_v3("MobileNetV3Large"), (224, 224, 3), 1.0, "-1..1", 32,
        "Howard et al. 2019", imagenet=True),
    "mobilenet_sparse": Entry(
        mobilenet_sparse.build, (128, 128, 3), 0.25, "-1..1", 32, "v1, padded for XNNPACK's sparse kernels"),
    "squeezenet": Entry(
        squeezenet.build, (64, 64, 1), None, "-1..1", 31, "v1.1, Iandola et al. 2016"),
    "efficientnet_lite0": Entry(
        efficientnet.lite0, (32, 32, 1), None, "-1..1", 32, "no SE, relu6; Liu, Tan 2020"),
    "efficientnet_b0": Entry(
        efficientnet.b0, (224, 224, 3), None, "imagenet-torch", 32, "Tan, Le 2019", imagenet=True),
    "resnet8": Entry(
        resnet8.build, (32, 32, 1), None, "none", 4, "MLPerf Tiny, Banbury 2021"),
    "resnet50": Entry(
        _resnet50, (224, 224, 3), None, "imagenet-caffe", 32, "He et al. 2015", imagenet=True),
    "nasnet_mobile": Entry(
        _nasnet_mobile, (224, 224, 3), None, "-1..1", 32, "NASNet-A, Zoph et al. 2017", imagenet=True),
    "ds_cnn": Entry(
        ds_cnn.build, (49, 10, 1), None, "none", 2, "MLPerf Tiny, keywords, MFCC"),
    "autoencoder": Entry(
        _autoencoder, (640,), None, "none", 8, "MLPerf Tiny, anomalies, AUC", task="anomaly"),
}
# fmt: on


def entry(name: str) -> Entry:
    if name not in ZOO:
        raise RecipeError(f"no model called {name!r} in the zoo", do=nearest(name, ZOO))
    return ZOO[name]


def resolve(source: ModelSource, channels: int | None = None) -> ModelSource:
    """The source with the entry's own input and alpha where it names none.

    channels: of the data; an input that is not named takes them, but ImageNet's weights want colours.
    Raises RecipeError for what the architecture cannot take: the size, a width, ImageNet weights.
    """
    chosen = entry(source.name)
    shape = source.input or _default_input(chosen, 3 if source.weights == "imagenet" else channels)
    if len(shape) != len(chosen.input) or min(shape[:2]) < chosen.smallest:
        size = "one size" if len(chosen.input) == 1 else "[height, width, channels] with height and width"
        raise RecipeError(
            f"{source.name} cannot take an input of {list(shape)}", do=f"{size} of at least {chosen.smallest}"
        )
    if source.alpha is not None and chosen.alpha is None:
        having = ", ".join(name for name, other in ZOO.items() if other.alpha is not None)
        raise RecipeError(
            f"{source.name} has no width multiplier", evidence=f"alpha = {source.alpha}", do=f"alpha is for {having}"
        )
    if source.weights == "imagenet" and not chosen.imagenet:
        raise RecipeError(
            f"there are no ImageNet weights for {source.name}",
            evidence="tf_keras.applications does not have it",
            do='weights = "train", or give your own trained model as a file',
        )
    return replace(source, input=shape, alpha=chosen.alpha if source.alpha is None else source.alpha)


def _default_input(chosen: Entry, channels: int | None) -> Shape:
    if channels is None or len(chosen.input) != 3:
        return chosen.input
    return (*chosen.input[:2], channels)


def input_shape(source: ModelSource) -> Shape:
    """[height, width, channels] as a rule. Raises as `resolve` does."""
    shape = resolve(source).input
    assert shape is not None
    return shape


def build(source: ModelSource, classes: int) -> Any:
    """The zoo model with random or ImageNet weights, ending in a softmax over `classes`.

    ImageNet weights come from Keras's cache or are downloaded as Keras does; with other classes than
    ImageNet's 1,000 the convolutional part keeps them and a new head is put on. Raises MissingError.
    """
    chosen, source = entry(source.name), resolve(source)
    options: dict[str, Any] = {} if chosen.alpha is None else {"alpha": source.alpha}
    if not chosen.imagenet:
        return chosen.build(source.input, classes, **options)
    if source.weights != "imagenet":
        return chosen.build(source.input, classes, weights=None, top=True, **options)
    if classes == 1000:
        return _imagenet(source, options, top=True)
    import tf_keras

    base = _imagenet(source, options, top=False)
    pooled = tf_keras.layers.GlobalAveragePooling2D(name="pool")(base.output)
    probabilities = tf_keras.layers.Dense(classes, activation="softmax", name="predictions")(pooled)
    return tf_keras.Model(base.input, probabilities, name=base.name)


def _imagenet(source: ModelSource, options: dict[str, Any], *, top: bool) -> Any:
    from tflite_edge.tf.quiet import quiet

    with quiet():
        try:
            return entry(source.name).build(source.input, 1000, weights="imagenet", top=top, **options)
        except ValueError as error:  # Keras's own check of shape and alpha
            asked = f"input {list(source.input or ())}" + ("" if source.alpha is None else f", alpha {source.alpha}")
            raise RecipeError(f"{source.name} has no ImageNet weights for {asked}", evidence=str(error)) from error
        except Exception as error:
            raise MissingError(
                "the ImageNet weights are not in Keras's cache and could not be downloaded",
                evidence=str(error),
                do="connect to the network once, put the file into ~/.keras/models, or use --weights train",
            ) from error
