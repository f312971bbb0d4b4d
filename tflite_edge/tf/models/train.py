"""Training of zoo models: Adam with warm-up and cosine decay, and a small affine augmentation of images."""

from __future__ import annotations

from typing import Any

from tflite_edge.records.errors import DataError
from tflite_edge.records.event import Event, Listener
from tflite_edge.records.recipe import Training
from tflite_edge.tf.data.dataset import Dataset

# Keras's default of 0.99 needs thousands of steps to forget its start; small boards' models train for hundreds.
BATCH_NORM_MOMENTUM = 0.9


def train(model: Any, data: Dataset, training: Training, listen: Listener) -> None:
    """Train `model` in place on `data.train`; deterministic for a seed on one machine. Raises DataError.

    A classifier learns its labels, an anomaly detector to answer its own input.
    """
    import numpy as np
    import tensorflow as tf
    import tf_keras

    x, y = data.train.x, data.train.y
    if data.task == "anomaly":
        y, loss, metric = x, "mean_squared_error", "mean_absolute_error"
    elif data.task == "classification" and y is not None:
        loss, metric = "sparse_categorical_crossentropy", "accuracy"
    else:
        raise DataError(
            f"{data.pool.name} has no class labels to train on", do="give your own trained model with its data"
        )
    tf_keras.utils.set_random_seed(training.seed)
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    batch = min(training.batch, len(x))
    batches = (
        tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=training.seed).batch(batch, drop_remainder=True)
    )
    if data.pool.are_images and training.augment and not data.anomaly:
        batches = batches.map(lambda image, label: (augment(image, training.augment), label))
    steps = len(x) // batch * training.epochs
    rate = tf_keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=training.learning_rate, warmup_steps=max(1, steps // 10)
    )
    model.compile(tf_keras.optimizers.Adam(rate), loss, metrics=[metric])
    progress = tf_keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: listen(Event("train", _progress(logs), epoch + 1, training.epochs))
    )
    kind = "normal" if data.anomaly else f"{len(np.unique(y))} classes,"
    listen(Event("train", f"{kind} {len(x)} samples", 0, training.epochs))
    model.fit(batches.prefetch(2), epochs=training.epochs, verbose=0, callbacks=[progress])


def _progress(logs: dict[str, float]) -> str:
    right = f", accuracy {logs['accuracy']:.1%}" if "accuracy" in logs else ""
    return f"loss {logs['loss']:.3f}{right}"


def augment(images: Any, strength: float) -> Any:
    """float32 [N, H, W, C], each turned, zoomed and shifted by its own random amount.

    strength 1.0: up to 0.15 rad, 10 % zoom, and an eighth of the image each way. What moves in has the
    colour of the image's first corner: repeated edges would draw strokes longer (digits fill their frame).
    """
    import tensorflow as tf

    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]

    def uniform(limit: float) -> Any:
        return tf.random.uniform([count], -limit * strength, limit * strength)

    angle, zoom = uniform(0.15), 1 + uniform(0.1)
    cosine, sine = tf.cos(angle) * zoom, tf.sin(angle) * zoom
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    # Rows of the transform (x', y') -> (x, y) about the middle; layout as ImageProjectiveTransformV3 documents it.
    transform = [
        cosine, -sine, middle_x - cosine * middle_x + sine * middle_y + uniform(width / 8),
        sine, cosine, middle_y - sine * middle_x - cosine * middle_y + uniform(height / 8),
        tf.zeros([count]), tf.zeros([count]),
    ]  # fmt: skip
    corner = images[:, :1, :1]
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=images - corner,
        transforms=tf.stack(transform, 1),
        output_shape=tf.constant([height, width]),
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )
    return moved + corner
