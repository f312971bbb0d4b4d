"""The training loop: labels, teachers, imbalance, early stopping, and going on after a kill."""

import numpy as np
import pytest

from tflite_edge.records.errors import DataError
from tflite_edge.records.event import silent
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import DataSource, Training
from tflite_edge.tf.data.dataset import split
from tflite_edge.tf.data.sources import Pool
from tflite_edge.tf.fit import HELD_OUT, Teacher, _weights, fit, gives_probabilities, steps_per_epoch

pytestmark = pytest.mark.slow
TRAINING = Training(epochs=6, learning_rate=0.02, batch=16, augment=0.0)


def dataset(count=240, classes=3, y=None, labels=True):
    """Points around three corners of a square: easy, but not at once."""
    generator = np.random.default_rng(3)
    label = np.arange(count) % classes if y is None else y
    corners = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
    x = (corners[label] + generator.normal(0, 0.25, (count, 2))).astype(np.float32)
    pool = Pool("points", x, label if labels else None, ("a", "b", "c"), f"{count}")
    return split(pool, DataSource("points"), Preprocess())


def network(width=8, seed=1, logits=False):
    import tf_keras

    tf_keras.utils.set_random_seed(seed)
    layers = tf_keras.layers
    return tf_keras.Sequential(
        [
            layers.Input((2,)),
            layers.Dense(width, "relu"),
            layers.Dense(3, None if logits else "softmax"),
        ]
    )


def accuracy(model, data):
    return float((np.asarray(model(data.test.x)).argmax(-1) == data.test.y).mean())


@pytest.mark.parametrize("logits", [False, True])
def test_it_learns_whether_the_model_ends_in_a_softmax_or_not(logits):
    data, model = dataset(), network(logits=logits)
    assert gives_probabilities(model, data.train.first(8)) is not logits
    before = accuracy(model, data)
    fit(model, data, TRAINING, silent)
    assert accuracy(model, data) > max(0.85, before)


def test_an_anomaly_detector_learns_to_answer_what_it_is_shown():
    import tf_keras

    generator = np.random.default_rng(4)
    x = np.concatenate([generator.normal(size=(240, 1)) @ [[1.0, 2.0, -1.0]], generator.normal(size=(60, 3))])
    pool = Pool("machine", x.astype(np.float32), np.repeat([0, 1], [240, 60]), ("normal", "anomalous"), "300")
    data = split(pool, DataSource("machine", "anomaly"), Preprocess())
    tf_keras.utils.set_random_seed(1)
    model = tf_keras.Sequential([tf_keras.layers.Input((3,)), tf_keras.layers.Dense(1), tf_keras.layers.Dense(3)])
    fit(model, data, Training(epochs=20, learning_rate=0.02, batch=16, patience=5), silent)
    errors = np.square(np.asarray(model(data.test.x)) - data.test.x).mean(1)
    assert errors[data.test.y == 0].mean() < 0.1 * errors[data.test.y == 1].mean()


def test_the_same_seed_gives_the_same_weights():
    data = dataset()
    one, two = network(), network()
    fit(one, data, TRAINING, silent)
    fit(two, data, TRAINING, silent)
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_student_without_labels_learns_from_its_teacher():
    labelled, unlabelled = dataset(), dataset(labels=False)
    teacher, student = network(32), network(8, seed=2)
    fit(teacher, labelled, TRAINING, silent)
    one, none = np.float32([1.0]), np.float32([0.0])
    fit(student, unlabelled, TRAINING, silent, teacher=Teacher(teacher, one, none, 4.0, 0.7, 0.0))
    agreed = np.asarray(student(labelled.test.x)).argmax(-1) == np.asarray(teacher(labelled.test.x)).argmax(-1)
    assert agreed.mean() > 0.9


def test_the_teacher_sees_what_it_was_trained_on():
    """A student that is fed ten times its values: the teacher must be fed a tenth of them."""
    data = dataset()
    teacher, student = network(32), network(8, seed=2)
    fit(teacher, data, TRAINING, silent)
    data.train.preprocess = data.test.preprocess = Preprocess(std=(0.1,))
    fit(student, data, TRAINING, silent, teacher=Teacher(teacher, np.float32([0.1]), np.float32([0.0]), 2.0, 1.0, 0.0))
    assert accuracy(student, data) > 0.85


def test_a_nested_teacher_s_feature_map_is_matched_and_known_before(digits):
    import tf_keras

    from tflite_edge.records.step import Distill
    from tflite_edge.tf.fit import rehearse
    from tflite_edge.tf.optimize import distill

    layers = tf_keras.layers
    stack = [layers.Conv2D(6, 3, 2), layers.GlobalAveragePooling2D()]
    backbone = tf_keras.Sequential([layers.Input((8, 8, 1)), *stack])
    large = tf_keras.Sequential([layers.Input((8, 8, 1)), backbone, layers.Dense(10, "softmax")])
    student = tf_keras.Sequential([layers.Input((8, 8, 1)), layers.Conv2D(3, 3, 2), layers.Flatten(), layers.Dense(10)])
    plain = Preprocess((8, 8), 1)
    pool = Pool("digits", digits[0][:200, ..., None], digits[1][:200], tuple("0123456789"), "")
    data = split(pool, DataSource("digits"), plain)
    teacher = distill.teacher(Distill(teacher="large", features=1.0), large, plain, student, plain)
    rehearse(student, data, teacher)
    fit(student, data, Training(epochs=1, batch=32, augment=0.0), silent, teacher=teacher)
    flat = tf_keras.Sequential([layers.Input((8, 8, 1)), layers.Flatten(), layers.Dense(10)], name="flat")
    with pytest.raises(DataError, match="flat has no feature map"):
        rehearse(flat, data, teacher)


def test_rare_classes_weigh_as_much_as_common_ones():
    y = np.array([0] * 160 + [1] * 60 + [2] * 20)
    data = dataset(y=y)
    weights, labels = _weights(data.train.y, data), data.train.y
    totals = [weights[labels == label].sum() for label in range(3)]
    np.testing.assert_allclose(totals, len(labels) / 3, rtol=1e-5)
    even = dataset()
    assert set(_weights(even.train.y, even)) == {1.0}


def test_early_stopping_goes_back_to_the_best():
    from dataclasses import replace

    data, model, epochs = dataset(), network(), []

    def remember(event):
        if event.done:
            epochs.append(model.get_weights())

    fit(model, data, replace(TRAINING, epochs=60, patience=2, learning_rate=0.1), remember)
    final = model.get_weights()
    losses = [held_out_loss(model, data, weights) for weights in epochs]
    best = int(np.argmin(losses))
    assert 2 < len(epochs) == best + 1 + 2 < 60
    assert all(np.array_equal(a, b) for a, b in zip(final, epochs[best], strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(final, epochs[best + 1], strict=True))


def held_out_loss(model, data, weights):
    """Cross-entropy of the training samples that early stopping watches."""
    model.set_weights(weights)
    x, y = data.train.x[::HELD_OUT], data.train.y[::HELD_OUT]
    return -np.log(np.asarray(model(x))[np.arange(len(y)), y]).mean()


def test_a_killed_fit_goes_on_where_it_was(tmp_path):
    class Killed(Exception):
        pass

    def killer(event):
        if event.done == 3:
            raise Killed

    data, model, heard = dataset(), network(), []
    with pytest.raises(Killed):
        fit(model, data, TRAINING, killer, backup=tmp_path / "backup")
    again = network()
    fit(again, data, TRAINING, heard.append, backup=tmp_path / "backup")
    assert [event.done for event in heard if event.done] == [4, 5, 6]
    assert accuracy(again, data) > 0.85


def test_a_finished_fit_is_not_run_again(tmp_path):
    data, heard = dataset(), []
    first, second = network(), network()
    fit(first, data, TRAINING, silent, backup=tmp_path / "backup")
    fit(second, data, TRAINING, heard.append, backup=tmp_path / "backup")
    assert [event.done for event in heard] == [0]
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_schedules_know_how_many_steps_there_will_be():
    data = dataset()
    assert steps_per_epoch(data, TRAINING) == len(data.train) // 16


@pytest.mark.parametrize("changes", [{"optimizer": "sgd", "learning_rate": 0.1}, {"schedule": "constant"}])
def test_other_optimisers_and_schedules_learn_as_well(changes):
    from dataclasses import replace

    data, model = dataset(), network()
    fit(model, data, replace(TRAINING, **changes), silent)
    assert accuracy(model, data) > 0.85


def test_the_rate_warms_up_and_then_falls_or_stays():
    from dataclasses import replace

    from tflite_edge.tf.fit import rate

    def rates(schedule):
        falling = rate(replace(TRAINING, schedule=schedule), 100)
        return [float(falling(step)) for step in (0, 5, 10, 60, 110)]

    assert rates("cosine") == pytest.approx([0.0, 0.01, 0.02, 0.01, 0.0], abs=1e-7)
    assert rates("constant") == pytest.approx([0.0, 0.01, 0.02, 0.02, 0.02])


def test_half_of_the_images_are_mirrored_and_only_when_asked():
    from dataclasses import replace

    from tflite_edge.tf.fit import _batches

    images = np.tile(np.uint8([[[0], [255]]]), (64, 2, 1, 1))
    pool = Pool("images", images, np.arange(64) % 2, ("a", "b"), "")
    data = split(pool, DataSource("images"), Preprocess((2, 2), 1))
    arrays = (images.astype(np.float32), np.zeros((64, 2), np.float32), np.ones(64, np.float32))

    def mirrored(training):
        return np.concatenate([x.numpy()[:, 0, 0, 0] > 0 for x, *_ in _batches(arrays, 32, data, training)])

    assert not mirrored(TRAINING).any()
    assert 0.2 < mirrored(replace(TRAINING, mirror=True)).mean() < 0.8


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_batch_norm_knows_the_tuned_weights_after_few_steps(wrapped):
    """Statistics that start far off are those of the data after 90 steps, and the momentum is the model's again."""
    import tf_keras

    data, layers = dataset(), tf_keras.layers
    tf_keras.utils.set_random_seed(1)
    norm = layers.BatchNormalization()
    inner = tf_keras.Sequential([layers.Input((2,)), norm]) if wrapped else norm
    model = tf_keras.Sequential([layers.Input((2,)), inner, layers.Dense(3, "softmax")])
    gamma, beta, mean, variance = norm.get_weights()
    norm.set_weights([gamma, beta, mean + 100, variance])
    fit(model, data, TRAINING, silent)
    assert np.abs(norm.moving_mean.numpy()).max() < 1
    assert norm.momentum == 0.99
    assert accuracy(model, data) > 0.85
