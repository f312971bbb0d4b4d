"""Two models, the same random inputs: how far apart are their answers?"""

from __future__ import annotations

from typing import Any

import numpy as np

from tflite_edge.records.errors import ModelError

TOLERANCE = 1e-4  # relative to the largest answer of the sample; float32 sums in another order stay below 1e-5
OPEN_SIZE = 64  # for axes that the model leaves open: enough for five halvings of an image
SAMPLES = 4


def prove(model: Any, graph: Any, rebuilt: Any) -> float:
    """The largest difference between the Keras 3 model and its twin, relative to the largest answer of its sample.

    Raises ModelError when it is above TOLERANCE or not a number.
    """
    import keras
    import tensorflow as tf

    inputs = [random_input(tensor, _vocabulary(graph)) for tensor in graph.inputs]
    structure = keras.tree.pack_sequence_as(graph._inputs_struct, inputs)  # noqa: SLF001 - a dict, where it takes one
    try:
        wanted = [keras.ops.convert_to_numpy(item) for item in keras.tree.flatten(model(structure, training=False))]
        given = rebuilt(inputs if len(inputs) > 1 else inputs[0], training=False)
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise ModelError(
            f"{model.name}, rebuilt in tf_keras, could not be tried on random inputs",
            evidence=f"{type(error).__name__}: {str(error)[:400]}",
            do="model.export('folder') and convert that SavedModel",
        ) from error
    outputs = [np.asarray(item) for item in (given if isinstance(given, (list, tuple)) else [given])]
    largest = float(np.max([_difference(one, other) for one, other in zip(wanted, outputs, strict=True)]))
    if not largest <= TOLERANCE:
        raise ModelError(
            f"{model.name}, rebuilt in tf_keras, does not answer as in Keras 3",
            evidence=f"largest difference {largest:.2g} of the largest answer; {TOLERANCE:g} is allowed",
            do="model.export('folder') and convert that SavedModel; please report the model",
        )
    return largest


def random_input(tensor: Any, vocabulary: int) -> np.ndarray:
    """SAMPLES values of the tensor's shape and dtype: floats as small as -1..1 and as large as pixels.

    The first sample ends in zeros, as padded sequences do. Whole numbers are below `vocabulary`.
    """
    random = np.random.default_rng(0)
    batch, *sizes = tensor.shape
    shape = (batch or SAMPLES, *(size or OPEN_SIZE for size in sizes))
    if tensor.dtype == "string":
        raise ModelError(f"input {tensor.name} takes text, which no board does", do="give the model numbers")
    if tensor.dtype == "bool":
        return random.random(shape) < 0.5
    if not tensor.dtype.startswith("float"):
        values: np.ndarray = random.integers(0, vocabulary, shape)
    else:
        values = random.normal(size=shape)
        values[1::2] = random.uniform(0, 255, values[1::2].shape)
    if len(shape) > 1:
        values[0, -(shape[1] // 3) or shape[1] :] = 0
    return values.astype(tensor.dtype)


def _vocabulary(graph: Any) -> int:
    """What any whole number of the inputs must stay below: the smallest embedding's size; 2 without one."""
    sizes = [operation.input_dim for operation in _operations(graph) if hasattr(operation, "input_dim")]
    return min((size for size in sizes if isinstance(size, int)), default=2)


def _operations(graph: Any) -> list[Any]:
    found = []
    for operation in graph.operations:
        inner = getattr(operation, "_functional", operation)
        found += _operations(inner) if hasattr(inner, "_nodes_by_depth") else [operation]
    return found


def _difference(wanted: np.ndarray, given: np.ndarray) -> float:
    """The largest of all samples, relative to each sample's largest answer. NaN where only one of them is NaN."""
    if wanted.shape != given.shape:
        return float("nan")
    one, other = (np.reshape(answer, (len(answer), -1)).astype(np.float64) for answer in (wanted, given))
    same = alike(one, other)
    size = np.abs(np.where(same & ~np.isfinite(one), 0, one)).max(1, keepdims=True)
    return float(np.where(same, 0, np.abs(one - other) / np.maximum(size, 1e-6)).max())


def alike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """bool: where both are the same number, the same infinity, or no number."""
    same: np.ndarray = (np.isnan(one) & np.isnan(other)) | (one == other)
    return same
