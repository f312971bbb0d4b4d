"""Models in the few layers that QAT knows, with the same answers: what TF-MOT refuses becomes what it takes.

| found                                     | becomes                                                    |
|-------------------------------------------|------------------------------------------------------------|
| `x + y`, `x * 3`, `tf.nn.relu(x)`         | Add, Rescaling, ReLU                                       |
| an activation inside of a layer           | a layer behind it                                          |
| `x * relu6(x + 3) / 6`                    | HardSwish, one operator                                    |
| Average, and Add of three or more          | Add of two each, and Rescaling                             |
| a batch norm or ReLU called several times   | one for each call, as each has a range of its own          |
| SeparableConv, Conv1D                     | DepthwiseConv2D + Conv2D, Conv2D between Reshapes          |
| batch norm behind Dense, Conv2DTranspose  | folded into kernel and bias                                |
| any other batch norm, Normalization, and  | one 1x1 DepthwiseConv2D (images), whose kernel has a scale |
| Rescaling with scale and offset           | for each channel; else a multiplication and an addition    |

A batch norm behind Conv2D or DepthwiseConv2D stays: the converter folds it, and training is better with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tf_keras

from tflite_edge.records.errors import EdgeError
from tflite_edge.tf.models.keras3.proof import alike
from tflite_edge.tf.optimize.affine import fold_dense, line, merge_affine, plain
from tflite_edge.tf.optimize.graph import Call, Graph, Value, build, copy_layer, read

layers = tf_keras.layers

# Do nothing when the model runs, and would stand between layers that belong together.
AUGMENTATION = (
    "RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomCrop", "RandomContrast",
    "RandomBrightness", "RandomHeight", "RandomWidth", "GaussianNoise", "GaussianDropout",
)  # fmt: skip
# Values come out as they went in, so that a ReLU may as well stand before them.
PASSING = (
    "MaxPooling1D", "MaxPooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "Reshape", "Flatten", "Permute",
    "ZeroPadding1D", "ZeroPadding2D", "Cropping1D", "Cropping2D", "Dropout", "SpatialDropout1D", "SpatialDropout2D",
    "ActivityRegularization",
)  # fmt: skip
RELATIVE_TOLERANCE = 1e-4  # of float32 sums taken in another order


@tf_keras.utils.register_keras_serializable("tflite_edge")
class HardSwish(tf_keras.layers.Layer):
    """x * relu6(x + 3) / 6 (Howard et al. 2019) in the form that the converter knows as one operator."""

    def call(self, inputs: Any) -> Any:
        import tensorflow as tf

        return inputs * tf.nn.relu6(inputs + 3.0) * (1.0 / 6.0)


def flat(model: Any) -> Graph:
    """`model` with nested models inlined and operators (TFOpLambda) as layers where there is one. Raises ModelError."""
    graph = read(model)
    for call in list(graph.calls):
        if call.kind == "TFOpLambda":
            _operator(graph, call)
    return graph


def quantizable(model: Any) -> Graph:
    """`model` in layers that QAT knows, as far as there are rules above; its answers are proven equal.

    Raises ModelError as `read` does, EdgeError when the answers differ (that is our bug).
    """
    graph = flat(model)
    for call in list(graph.calls):
        if call.kind in AUGMENTATION:
            graph.remove(call)
    _untie(graph)
    for kind, rule in _SPLIT.items():
        for call in [call for call in graph.calls if call.kind == kind]:
            rule(graph, call)
    for call in list(graph.calls):
        _split_activation(graph, call)
    _hard_swish(graph)
    fold_dense(graph)
    merge_affine(graph)
    _raise_relu(graph)
    rewritten = build(graph)
    prove(model, rewritten)
    return read(rewritten)  # where every layer has a name of its own


def prove(model: Any, rewritten: Any) -> None:
    """Both must give the same answers to random input, small and as large as raw pixels. Raises EdgeError."""
    random = np.random.default_rng(0)
    inputs = []
    for tensor in model.inputs:
        shape = [size or 8 for size in tensor.shape[1:]]
        inputs.append(np.concatenate([random.normal(0, size, [2, *shape]) for size in (1, 60)]).astype(np.float32))
    wanted, given = model(inputs, training=False), rewritten(inputs, training=False)
    for one, other in zip(_list(wanted), _list(given), strict=True):
        one, other = np.asarray(one), np.asarray(other)  # noqa: PLW2901
        with np.errstate(invalid="ignore"):  # infinity less infinity, where both are
            difference = float(np.where(alike(one, other), 0, np.abs(one - other)).max())
        size = float(np.abs(np.where(np.isfinite(one), one, 0)).max())
        if not difference <= RELATIVE_TOLERANCE * max(size, 1e-3):
            raise EdgeError(
                f"rewriting {model.name} for qat changed its answers",
                evidence=f"largest difference {difference:.3g} in values up to {size:.3g}",
                do="leave qat out, and report this model",
            )


def _list(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


# --- operators


def _operator(graph: Graph, call: Call) -> None:
    """TFOpLambda as layers; where there are none, it stays (and QAT will name it)."""
    symbol, name = call.layer.symbol.removeprefix("math.").removeprefix("nn.").strip("_"), call.layer.name
    symbol = symbol.removeprefix("operators__.").strip("_")
    given = list(call.args) + [call.kwargs[key] for key in ("x", "y", "a", "b", "features") if key in call.kwargs]
    values = [item for item in given if isinstance(item, Value)]
    if symbol in _ELEMENTWISE and len(values) == 1:
        graph.chain(call, [_ELEMENTWISE[symbol](name)])
    elif symbol in _PAIRS and len(given) == 2:
        pair, constant, swapped = _PAIRS[symbol]
        if len(values) == 2 and pair is not None:
            graph.replace(call, [Call(pair(name=name), (values,), {}, call.outputs)])
        elif len(values) == 1:
            rule = constant if isinstance(given[0], Value) else swapped
            number = _constant(given[1] if isinstance(given[0], Value) else given[0], values[0].shape[-1])
            if rule is not None and number is not None:
                graph.chain(call, [layers.Rescaling(*(plain(part) for part in rule(number)), name=name)])


def _constant(item: Any, channels: int | None) -> np.ndarray | None:
    """A constant operand as float32 of one element or one for each channel, else None. Files hold arrays as lists."""
    if not isinstance(item, (int, float, list, np.ndarray)) and not hasattr(item, "numpy"):
        return None
    array = np.asarray(item, np.float32)
    return array if array.size == 1 or array.shape == (channels,) else None


_ELEMENTWISE: dict[str, Callable[[str], Any]] = {
    "relu": lambda name: layers.ReLU(name=name),
    "relu6": lambda name: layers.ReLU(6.0, name=name),
    "sigmoid": lambda name: layers.Activation("sigmoid", name=name),
    "tanh": lambda name: layers.Activation("tanh", name=name),
    "silu": lambda name: layers.Activation("swish", name=name),
    "swish": lambda name: layers.Activation("swish", name=name),
    "softmax": lambda name: layers.Softmax(name=name),
}
# operator -> layer for two tensors; (scale, offset) for tensor and number; the same for number and tensor
_Affine = Callable[[Any], tuple[Any, Any]]
_PAIRS: dict[str, tuple[Any, _Affine | None, _Affine | None]] = {
    "add": (layers.Add, lambda c: (1.0, c), lambda c: (1.0, c)),
    "multiply": (layers.Multiply, lambda c: (c, 0.0), lambda c: (c, 0.0)),
    "mul": (layers.Multiply, lambda c: (c, 0.0), lambda c: (c, 0.0)),
    "subtract": (layers.Subtract, lambda c: (1.0, -c), lambda c: (-1.0, c)),
    "sub": (layers.Subtract, lambda c: (1.0, -c), lambda c: (-1.0, c)),
    "truediv": (None, lambda c: (1 / c, 0.0), None),
    "divide": (None, lambda c: (1 / c, 0.0), None),
    "maximum": (layers.Maximum, None, None),
    "minimum": (layers.Minimum, None, None),
}


# --- layers that are several


def _untie(graph: Graph) -> None:
    """A layer without kernel that is called several times becomes one for each call: each has a range of its own."""
    seen = set()
    for call in graph.calls:
        if call.layer in seen and (call.kind == "BatchNormalization" or not graph.weights_of(call)):
            weights = graph.weights_of(call)
            call.layer = copy_layer(call.layer)
            if weights:
                graph.weights[call.layer] = weights
        seen.add(call.layer)


def _separable(graph: Graph, call: Call) -> None:
    config, weights = call.layer.get_config(), graph.weights_of(call)
    same = ("strides", "padding", "data_format", "dilation_rate", "depth_multiplier", "kernel_size", "trainable")
    depthwise = layers.DepthwiseConv2D(
        **{key: config[key] for key in same}, use_bias=False, name=f"{config['name']}_depthwise"
    )
    keys = ("filters", "use_bias", "activation", "data_format", "trainable")
    pointwise = layers.Conv2D(kernel_size=1, **{key: config[key] for key in keys}, name=config["name"])
    _, height, width, _ = call.outputs[0].shape
    between = Value((None, height, width, weights[0].shape[2] * weights[0].shape[3]))
    first = graph.call(depthwise, call.inputs[0], between, weights[:1])
    graph.replace(call, [first, graph.call(pointwise, between, call.outputs[0], weights[1:])])


def _one_dimensional(graph: Graph, call: Call) -> None:
    """[N, length, channels] as an image of width 1, as the converter does it, but where QAT can see it."""
    config, weights = call.layer.get_config(), graph.weights_of(call)
    value, end, name = call.inputs[0], call.outputs[0], call.layer.name
    new = []
    if config["padding"] == "causal":
        reach = (config["kernel_size"][0] - 1) * config["dilation_rate"][0]
        padded = Value((None, value.shape[1] + reach if value.shape[1] else None, value.shape[2]))
        new.append(graph.call(layers.ZeroPadding1D((reach, 0), name=f"{name}_causal"), value, padded))
        value, config["padding"] = padded, "valid"
    for key in ("kernel_size", "strides", "dilation_rate"):
        config[key] = (config[key][0], 1)
    config.pop("batch_input_shape", None)
    separable = call.kind == "SeparableConv1D"
    if separable:  # tf's depthwise kernels know only equal strides and dilations
        config["strides"], config["dilation_rate"] = config["strides"][:1] * 2, config["dilation_rate"][:1] * 2
    image, made = Value((None, value.shape[1], 1, value.shape[2])), Value((None, end.shape[1], 1, end.shape[2]))
    kind = layers.SeparableConv2D if separable else layers.Conv2D
    images = [array[:, None] if array.ndim == 3 else array for array in weights]
    new += [
        graph.call(layers.Reshape(image.shape[1:], name=f"{name}_image"), value, image),
        graph.call(kind.from_config(config), image, made, images),
        graph.call(layers.Reshape(end.shape[1:], name=f"{name}_row"), made, end),
    ]
    graph.replace(call, new)


def _average(graph: Graph, call: Call) -> None:
    total, count = Value(call.outputs[0].shape), len(call.inputs)
    add = Call(layers.Add(name=call.layer.name), call.args, {}, [total])
    share = layers.Rescaling(1 / count, name=f"{call.layer.name}_share")
    graph.replace(call, [add, graph.call(share, total, call.outputs[0])])


def _pairwise(graph: Graph, call: Call) -> None:
    """A sum of three is two operators, and the range of the first sum must be known, too."""
    value, *rest = call.inputs
    made = []
    for number, other in enumerate(rest, 1):
        last = number == len(rest)
        output = call.outputs[0] if last else Value(call.outputs[0].shape)
        layer = type(call.layer)(name=call.layer.name if last else f"{call.layer.name}_{number}")
        made.append(Call(layer, ([value, other],), {}, [output]))
        value = output
    graph.replace(call, made)


_SPLIT = {
    "SeparableConv1D": _one_dimensional,
    "Conv1D": _one_dimensional,
    "SeparableConv2D": _separable,
    "Average": _average,
    "Add": _pairwise,
    "Multiply": _pairwise,
    "Maximum": _pairwise,
    "Minimum": _pairwise,
}


# --- activations


def _split_activation(graph: Graph, call: Call) -> None:
    """A layer's own activation as a layer behind it; Activation and hard_sigmoid as what QAT knows."""
    config = call.layer.get_config()
    activation = config.get("activation")
    if not isinstance(activation, str) or activation == "linear" or len(call.outputs) != 1:
        if call.kind == "Activation" and activation == "linear" and call.inputs[0] not in graph.outputs:
            graph.remove(call)
        return
    behind = f"{config['name']}_{activation}"
    if call.kind == "Activation":
        graph.chain(call, _activation(activation, config["name"]))
    elif call.kind in ("Conv2D", "DepthwiseConv2D", "Conv2DTranspose", "Dense"):
        linear = type(call.layer).from_config({**config, "activation": "linear"})
        linear.trainable = call.layer.trainable
        if graph.weights_of(call):
            graph.weights[linear] = graph.weights_of(call)
        for one in [other for other in graph.calls if other.layer is call.layer]:  # all calls of a shared layer
            end, between = one.outputs[0], Value(one.outputs[0].shape)
            one.layer, one.outputs = linear, [between]
            start = graph.call(layers.Activation(activation), between, end)
            graph.calls.insert(graph.calls.index(one) + 1, start)
            graph.chain(start, _activation(activation, behind))


def _activation(activation: str, name: str) -> list[Any]:
    if activation in ("relu", "relu6"):
        return [layers.ReLU(6.0 if activation == "relu6" else None, name=name)]
    if activation == "hard_sigmoid":  # Keras 2: clip(x / 5 + 1/2, 0, 1) = relu6(1.2 x + 3) / 6
        return [
            layers.Rescaling(1.2, name=f"{name}_scale"),
            layers.Rescaling(1.0, 3.0, name=f"{name}_shift"),
            layers.ReLU(6.0, name=f"{name}_relu6"),
            layers.Rescaling(1 / 6, name=name),
        ]
    if activation == "softmax":
        return [layers.Softmax(name=name)]
    return [layers.Activation("swish" if activation == "silu" else activation, name=name)]


def _hard_swish(graph: Graph) -> None:
    """Multiply(x, relu6(x + 3) / 6) as one layer."""
    for product in [call for call in graph.calls if call.kind == "Multiply" and len(call.inputs) == 2]:
        for x, gate in (product.inputs, product.inputs[::-1]):
            sixth = graph.producer(gate)
            relu = graph.producer(sixth.inputs[0]) if sixth and sixth.kind == "Rescaling" else None
            shift = graph.producer(relu.inputs[0]) if relu and relu.kind == "ReLU" else None
            if sixth is None or relu is None or shift is None or shift.kind != "Rescaling" or shift.inputs != [x]:
                continue
            ends = (sixth.layer, shift.layer, relu.layer)
            numbers = (*line(ends[0]), *line(ends[1]), ends[2].get_config()["max_value"])
            if np.allclose(np.asarray(numbers, float), (1 / 6, 0, 1, 3, 6)) and all(
                graph.only_consumer(call.outputs[0]) for call in (sixth, relu, shift)
            ):
                for call in (sixth, relu, shift):
                    graph.calls.remove(call)
                graph.replace(product, [graph.call(HardSwish(name=product.layer.name), x, product.outputs[0])])
                break


def _raise_relu(graph: Graph) -> None:
    """A ReLU goes before the layers that only pass values on, to what it can be fused with."""
    for relu in [call for call in graph.calls if call.kind == "ReLU"]:
        passing = graph.producer(relu.inputs[0])
        while passing and passing.kind in PASSING and graph.only_consumer(relu.inputs[0]) and _is_relu(relu):
            (start,), (end,) = passing.inputs, relu.outputs
            if graph.shared(passing) or graph.shared(relu):
                break
            before = Value(start.shape)
            at = graph.calls.index(passing)
            graph.calls.remove(relu)
            relu.args, relu.kwargs, relu.outputs = (start,), {}, [before]
            passing.args, passing.outputs = (before,), [end]
            graph.calls.insert(at, relu)
            passing = graph.producer(start)


def _is_relu(call: Call) -> bool:
    """ReLU or ReLU6, which fuse with what is before them; both leave the zeros of padding alone."""
    config = call.layer.get_config()
    plain = not np.any(config["negative_slope"]) and not np.any(config["threshold"])
    return plain and (config["max_value"] is None or float(config["max_value"]) == 6.0)
