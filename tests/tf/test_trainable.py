"""Trainable flatbuffers: the cut, what is in the bytes, and gradients equal to TensorFlow's own."""

import numpy as np
import pytest

import tflite_edge.tf  # noqa: F401 - sets the environment before TensorFlow is imported
from tflite_edge.flatbuffer import check, check_trainable, inspect
from tflite_edge.harness.head import read_head
from tflite_edge.records.conversion import Conversion
from tflite_edge.records.errors import ModelError
from tflite_edge.records.job import Job
from tflite_edge.records.learning import HeadPlan, Lesson
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.targets.local import Local
from tflite_edge.tf.convert.freeze import graph
from tflite_edge.tf.convert.trainable import split, trainable
from tflite_edge.tf.quiet import quiet

with quiet():
    import tensorflow as tf
    import tf_keras

layers = tf_keras.layers


def net(*tail, size=(6, 6, 2)):
    tf_keras.utils.set_random_seed(5)
    image = tf_keras.Input(size, name="image")
    x = layers.Conv2D(4, 3, activation="relu")(image)
    for layer in tail:
        x = layer(x)
    return tf_keras.Model(image, x, name="net")


def dense_tail():
    return layers.Flatten(), layers.Dense(3, activation="softmax")


def convolution_tail():
    """As MobileNet ends."""
    return (
        layers.GlobalAveragePooling2D(keepdims=True),
        layers.Dropout(0.1),
        layers.Conv2D(3, 1),
        layers.Reshape((3,)),
        layers.Activation("softmax"),
    )


def logits_tail():
    return layers.GlobalAveragePooling2D(), layers.Dense(3, use_bias=False)


@pytest.mark.parametrize("tail", [dense_tail, convolution_tail, logits_tail])
def test_the_cut_and_the_head_make_the_model(tail):
    model = net(*tail())
    parts = split(model)
    x = np.random.default_rng(0).normal(size=(5, 6, 6, 2)).astype(np.float32)
    logits = np.asarray(parts.backbone(x)).reshape(5, -1) @ parts.kernel + parts.bias
    answers = tf.nn.softmax(logits).numpy() if parts.softmax else logits
    assert np.allclose(answers, model(x), atol=1e-5)
    assert parts.softmax == (tail is not logits_tail)


@pytest.mark.parametrize(
    ("tail", "names"),
    [
        ((layers.Flatten(), layers.Dense(1, activation="sigmoid")), "sigmoid"),
        ((layers.Conv2D(3, 1), layers.GlobalAveragePooling2D(), layers.Softmax()), "GlobalAveragePooling2D"),
        ((layers.Conv2D(3, 1),), "Conv2D"),
    ],
)
def test_what_does_not_end_in_a_classifier_is_refused(tail, names):
    with pytest.raises(ModelError, match="no head that can learn") as caught:
        split(net(*tail))
    assert names in caught.value.evidence


def test_the_bytes_hold_builtins_and_the_signatures(teachable):
    for name, mode in (("adam", "float32"), ("hidden", "dynamic")):
        facts = inspect(teachable / f"{name}.tflite")
        assert check(facts, Conversion(mode, trainable=True)) == []
        assert check_trainable(facts, alone=False) == []
        assert facts.custom == ()
        assert facts.signatures[0].key == "infer"  # what runs where nobody names a signature
        train = next(signature for signature in facts.signatures if signature.key == "train")
        assert set(train.inputs) == {"features", "labels", "learning_rate"}
        save, restore = (
            next(signature for signature in facts.signatures if signature.key == key) for key in ("save", "restore")
        )
        assert save.outputs == restore.inputs
    head = inspect(teachable / "head.tflite")
    assert check_trainable(head, alone=True) == []
    assert "represent" in check_trainable(head, alone=False)[0].what
    assert check_trainable(inspect(teachable / "features.tflite"), alone=True)[0].fatal


class Reference:
    """The same head and optimisers, with gradients by TensorFlow."""

    def __init__(self, parts, plan):
        self.plan, self.values = plan, {"kernel": tf.Variable(parts.kernel), "bias": tf.Variable(parts.bias)}
        if plan.hidden:
            width = parts.kernel.shape[0]
            draw = np.random.default_rng(0).normal(0, np.sqrt(2 / width), [width, plan.hidden])
            self.values["hidden_kernel"] = tf.Variable(draw.astype(np.float32))
            self.values["hidden_bias"] = tf.Variable(np.zeros(plan.hidden, np.float32))
            self.values["upper_kernel"] = tf.Variable(np.zeros([plan.hidden, parts.kernel.shape[1]], np.float32))
        if plan.optimizer == "sgd":
            self.optimizer = tf_keras.optimizers.SGD(plan.learning_rate, momentum=0.9)
        else:
            self.optimizer = tf_keras.optimizers.Adam(plan.learning_rate, epsilon=1e-8)

    def step(self, features, labels):
        v = self.values
        with tf.GradientTape() as tape:
            logits = features @ v["kernel"] + v["bias"]
            if self.plan.hidden:
                logits += tf.nn.relu(features @ v["hidden_kernel"] + v["hidden_bias"]) @ v["upper_kernel"]
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        names = list(v)
        self.optimizer.apply_gradients(zip(tape.gradient(loss, [v[name] for name in names]), v.values(), strict=True))
        return float(loss)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("hidden", [0, 5])
def test_the_steps_are_tensorflow_s(tmp_path, optimizer, hidden):
    """Twelve steps, one batch an epoch, so that no order is left to chance; the last batch is not full."""
    model = net(*dense_tail())
    parts, plan = split(model), HeadPlan(hidden, 0, optimizer, 0.01, batch=8)
    (tmp_path / "model.tflite").write_bytes(trainable(parts, plan, "float32", graph(parts.backbone)))
    x = np.random.default_rng(1).normal(size=(7, 6, 6, 2)).astype(np.float32)
    y = np.arange(7) % 3
    np.savez(tmp_path / "pack.npz", x=x, y=y)
    reference, features = Reference(parts, plan), np.asarray(parts.backbone(x)).reshape(7, -1)
    losses = [reference.step(features, y) for _ in range(12)]
    pack, out = str(tmp_path / "pack.npz"), str(tmp_path / "head.npz")
    lesson = Lesson(test=pack, out=out, epochs=12)
    learnt = Local().learn(
        Job("learn", str(tmp_path / "model.tflite"), pack=pack, preprocess=Preprocess(channels=2), lesson=lesson)
    )
    assert np.allclose([epoch.loss for epoch in learnt.epochs], losses, rtol=1e-4)
    assert learnt.best == 12, "the last epoch is the best on what it learns from"
    for name, value in read_head(out).weights.items():
        difference = np.abs(value - reference.values[name])
        if optimizer == "adam" and hidden:
            # Adam divides a gradient by its own size: of those that nearly cancel, the rounding shows.
            assert np.median(difference) < 1e-4, name
        else:
            assert difference.max() < 2e-5, name
