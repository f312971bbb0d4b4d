"""The one training loop: zoo models from nothing, and fine-tuning by every optimisation step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflite_edge.records.errors import DataError
from tflite_edge.records.event import Event, Listener
from tflite_edge.records.recipe import Training
from tflite_edge.tf.data.dataset import Dataset

# Beyond this ratio of the largest class to the smallest one the loss weighs the classes equally.
IMBALANCE = 1.5
# Keras's momentum of 0.99 needs thousands of steps until a batch norm has forgotten the statistics that it started
# with; a step's fine-tuning may have fifty. It forgets so many times over (e to the minus) in any case.
FORGETS = 20
LEAST_MOMENTUM = 0.5
HELD_OUT = 10  # every tenth training sample watches for early stopping


@dataclass(frozen=True)
class Teacher:
    """Whom the model learns from. scale, shift: the student's input * scale + shift is the teacher's.

    temperature: of the soft targets (Hinton et al. 2015, arXiv:1503.02531); alpha: their weight in the loss.
    features: weight of matching the pooled last feature map through a learnt projection (Romero et al.
    2015, arXiv:1412.6550); 0 is off.
    """

    model: Any
    scale: np.ndarray
    shift: np.ndarray
    temperature: float
    alpha: float
    features: float


def fit(
    model: Any,
    data: Dataset,
    training: Training,
    listen: Listener,
    *,
    step: str = "train",
    callbacks: Sequence[Any] = (),
    teacher: Teacher | None = None,
    backup: Path | None = None,
) -> None:
    """Train `model` in place on `data.train` as `training` says; the same for a seed on one machine.

    callbacks: with any, the step has a schedule of its own and is never stopped early. backup: a folder
    that is not deleted by a kill; the same call goes on after the last whole epoch. Raises DataError.
    """
    import tf_keras

    refuse_unlabelled(data, teacher)
    x, y = data.train.x, data.train.y
    tf_keras.utils.set_random_seed(training.seed)
    held = np.arange(len(x)) % HELD_OUT == 0 if training.patience and not callbacks else np.zeros(len(x), bool)
    batch = min(training.batch, int((~held).sum()))
    goal = _Goal(model, data, teacher)
    trained = goal.model
    arrays = (x, goal.targets(y), _weights(y, data))
    batches = _batches(tuple(array[~held] for array in arrays), batch, data, training)
    optimizer = _optimizer(training, steps_per_epoch(data, training) * training.epochs)
    trained.compile(optimizer, goal.losses(), metrics=goal.metrics())
    stops = []
    if held.any():
        watched = _batches(tuple(array[held] for array in arrays), batch, data, None)
        stops = [tf_keras.callbacks.EarlyStopping("val_loss", patience=training.patience, restore_best_weights=True)]
    if backup is not None:
        backup.mkdir(parents=True, exist_ok=True)
        stops.append(tf_keras.callbacks.BackupAndRestore(backup, delete_checkpoint=False))
    listen(Event(step, f"{len(x) - int(held.sum())} samples", 0, training.epochs))
    with _forgetting(trained, steps_per_epoch(data, training) * training.epochs):
        trained.fit(
            batches.map(goal.prepare).prefetch(2),
            epochs=training.epochs,
            validation_data=watched.map(goal.prepare) if held.any() else None,
            verbose=0,
            callbacks=[*callbacks, *stops, _progress(step, training.epochs, listen)],
        )


def rehearse(model: Any, data: Dataset, teacher: Teacher | None) -> None:
    """Raises DataError where `fit` could not begin; trains nothing."""
    refuse_unlabelled(data, teacher)
    if teacher is not None and teacher.features:
        _Goal(model, data, teacher)


def refuse_unlabelled(data: Dataset, teacher: Teacher | None) -> None:
    """Raises DataError where there is nothing to learn from."""
    if data.pool.y is None and teacher is None:
        raise DataError(
            f"{data.pool.name} has no labels to train on", do="give labels, or a teacher: --optimize distill=MODEL"
        )


@contextmanager
def _forgetting(model: Any, steps: int) -> Iterator[None]:
    """Batch norms whose moving statistics are those of the tuned weights after so many steps."""
    import tf_keras

    norms = [
        layer
        for layer in model._flatten_layers()  # noqa: SLF001 - those in wrappers and nested models, too
        if isinstance(layer, tf_keras.layers.BatchNormalization)
    ]
    own = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = min(layer.momentum, max(LEAST_MOMENTUM, 1 - FORGETS / max(1, steps)))
    try:
        yield
    finally:
        for layer, momentum in zip(norms, own, strict=True):
            layer.momentum = momentum


def rate(training: Training, steps: int) -> Any:
    """The learning rate over so many steps: a tenth of them warms up; then it falls along a cosine, or stays."""
    import tf_keras

    warmup, end = max(1, steps // 10), 0.0 if training.schedule == "cosine" else 1.0
    return tf_keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps), alpha=end, warmup_target=training.learning_rate, warmup_steps=warmup
    )


def _optimizer(training: Training, steps: int) -> Any:
    from tf_keras import optimizers

    falling = rate(training, steps)
    return optimizers.Adam(falling) if training.optimizer == "adam" else optimizers.SGD(falling, 0.9, nesterov=True)


def steps_per_epoch(data: Dataset, training: Training) -> int:
    """Optimiser steps in one epoch without early stopping's held-out samples: what schedules count in."""
    count = len(data.train)
    return max(1, count // min(training.batch, count))


def _progress(step: str, epochs: int, listen: Listener) -> Any:
    import tf_keras

    def said(epoch: int, logs: dict[str, float]) -> None:
        accuracy = logs.get("accuracy", logs.get("output_accuracy"))
        note = f"loss {logs['loss']:.3f}" + (f", accuracy {accuracy:.1%}" if accuracy is not None else "")
        listen(Event(step, note, epoch + 1, epochs))

    return tf_keras.callbacks.LambdaCallback(on_epoch_end=said)


def _weights(y: np.ndarray | None, data: Dataset) -> np.ndarray:
    """float32 [n]: 1 for each sample, or where classes are far from balanced, the same total for every class."""
    if y is None or data.task != "classification":
        return np.ones(len(data.train), np.float32)
    counts = np.bincount(y)
    present = counts[counts > 0]
    if present.max() <= IMBALANCE * present.min():
        return np.ones(len(y), np.float32)
    return (len(y) / (len(present) * counts[y])).astype(np.float32)


def _batches(arrays: tuple[np.ndarray, ...], batch: int, data: Dataset, training: Training | None) -> Any:
    """tf.data of (x, targets, weights); shuffled, in whole batches and augmented when `training` is given."""
    import tensorflow as tf

    samples = tf.data.Dataset.from_tensor_slices(arrays)
    if training is None:
        return samples.batch(batch)
    samples = samples.shuffle(len(arrays[0]), seed=training.seed).batch(batch, drop_remainder=True)
    if not data.pool.are_images or data.anomaly:
        return samples
    if training.mirror:
        samples = samples.map(lambda image, *rest: (tf.image.random_flip_left_right(image), *rest))
    if training.augment:
        samples = samples.map(lambda image, *rest: (augment(image, training.augment), *rest))
    return samples


class _Goal:
    """What is compared with what: labels, a teacher's answers, or both, as one target tensor.

    A loss on one tensor needs no model of its own around the student, so that TF-MOT's wrappers and
    callbacks see the model they know. The target is [labels or targets | the teacher's answers].
    """

    def __init__(self, model: Any, data: Dataset, teacher: Teacher | None) -> None:
        self.student, self.data, self.teacher = model, data, teacher
        self.width = int(np.prod(model.output_shape[1:]))
        self.classes = data.task == "classification" or (data.task == "agreement" and self.width > 1)
        self.logits = self.classes and not gives_probabilities(model, data.train.first(8))
        self.teacher_logits = False
        self.model = model
        if teacher is not None:
            self.teacher_logits = self.classes and not gives_probabilities(teacher.model, data.train.first(8))
            if teacher.features:
                self._match_features(teacher)

    def _match_features(self, teacher: Teacher) -> None:
        """The student with a second output: its pooled last feature map, projected to the teacher's width."""
        import tf_keras

        layers = tf_keras.layers
        self.teacher_map = last_map(teacher.model)
        own = last_map(self.student).output
        projected = layers.Dense(self.teacher_map.output.shape[-1], use_bias=False, name="projection")(
            layers.GlobalAveragePooling2D()(own)
        )
        output = layers.Activation("linear", name="output")(self.student.output)
        features = layers.Activation("linear", name="features")(projected)
        self.model = tf_keras.Model(self.student.inputs, {"output": output, "features": features})
        self.observer = tf_keras.Model(
            teacher.model.inputs, [teacher.model.output, layers.GlobalAveragePooling2D()(self.teacher_map.output)]
        )

    def targets(self, y: np.ndarray | None) -> np.ndarray:
        """float32 [n, width]: one-hot labels, the regression's targets, or of an anomaly detector what it is shown;
        zeros where there are none."""
        if self.data.anomaly:
            return self.data.train.x.reshape(-1, self.width)
        if y is None:
            return np.zeros((len(self.data.train), self.width), np.float32)
        if self.data.task == "classification":
            return np.eye(self.width, dtype=np.float32)[y]
        return y.reshape(len(y), -1).astype(np.float32)

    def prepare(self, x: Any, target: Any, weight: Any) -> Any:
        """One batch with the teacher's answers beside the labels."""
        import tensorflow as tf

        if self.teacher is None:
            return x, target, weight
        seen = x * self.teacher.scale + self.teacher.shift
        if not self.teacher.features:
            answer = self.teacher.model(seen, training=False)
            return x, tf.concat([target, tf.reshape(answer, (-1, self.width))], 1), weight
        answer, features = self.observer(seen, training=False)
        both = tf.concat([target, tf.reshape(answer, (-1, self.width))], 1)
        return x, {"output": both, "features": features}, {"output": weight, "features": weight * self.teacher.features}

    def losses(self) -> Any:
        if self.teacher is not None and self.teacher.features:
            return {"output": self.loss, "features": "mse"}
        return self.loss

    def metrics(self) -> Any:
        if not self.classes:
            return []
        return {"output": [self.accuracy]} if isinstance(self.model.output, dict) else [self.accuracy]

    def loss(self, target: Any, answer: Any) -> Any:
        """[n]: cross-entropy or squared error, mixed with the teacher's."""
        import tensorflow as tf

        answer = tf.reshape(answer, (-1, self.width))
        labels, taught = target[:, : self.width], target[:, self.width :]
        alpha = 0.0 if self.teacher is None else 1.0 if self.data.pool.y is None else self.teacher.alpha
        if not self.classes:
            own = tf.reduce_mean(tf.square(labels - answer), 1)
            return own if not alpha else (1 - alpha) * own + alpha * tf.reduce_mean(tf.square(taught - answer), 1)
        scores = _log(answer, self.logits)
        loss = -tf.reduce_sum(labels * tf.nn.log_softmax(scores), 1)
        if self.teacher is None or not alpha:
            return loss
        t = self.teacher.temperature
        soft = tf.nn.softmax(_log(taught, self.teacher_logits) / t)
        taught_loss = tf.reduce_sum(soft * (tf.math.log(soft + 1e-9) - tf.nn.log_softmax(scores / t)), 1)
        return (1 - alpha) * loss + alpha * t * t * taught_loss

    def accuracy(self, target: Any, answer: Any) -> Any:
        import tensorflow as tf

        labels = target[:, : self.width] if self.data.pool.y is not None else target[:, self.width :]
        return tf.cast(tf.equal(tf.argmax(labels, 1), tf.argmax(tf.reshape(answer, (-1, self.width)), 1)), tf.float32)


def _log(answer: Any, logits: bool) -> Any:
    """Logits, or the logarithm of probabilities, which are logits up to a constant."""
    import tensorflow as tf

    return answer if logits else tf.math.log(tf.maximum(answer, 1e-7))


def gives_probabilities(model: Any, x: np.ndarray) -> bool:
    """Whether the answers to x [n, ...] are shares that add up to one: asked of the numbers, because the
    last layer may hide in a wrapper or a nested model."""
    answers = np.asarray(model(x, training=False)).reshape(len(x), -1)
    return bool((answers >= 0).all() and np.allclose(answers.sum(1), 1, atol=1e-3))


def last_map(model: Any) -> Any:
    """The last layer whose output is a feature map [n, h, w, c]. Raises DataError when there is none."""
    for layer in reversed(model.layers):
        if len(getattr(layer, "output_shape", ())) == 4:
            return layer
    raise DataError(f"{model.name} has no feature map to match", do="distil without features")


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
