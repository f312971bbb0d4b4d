"""How far fine-tuning alters its images: models that are known to bear it, and not to."""

from dataclasses import replace

import numpy as np
import pytest

from tflite_edge.records.event import silent
from tflite_edge.records.recipe import DataSource, ModelSource, Recipe, Tuning
from tflite_edge.tf.optimize import altered
from tflite_edge.tf.optimize.optimize import optimize
from tflite_edge.tf.quiet import quiet
from tflite_edge.tf.source import open_model

pytestmark = pytest.mark.slow
CLASSES = 4
NONE_TRAINED = {"step": "channels", "fraction": 0.5, "epochs": 0}


def picture(label):
    """A line whose place and whose brightness tell the class."""
    image = np.zeros((16, 16, 1), np.uint8)
    image[4:12, 6 + label] = 60 * (label + 1)
    return image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """images.npz, and by_brightness.h5 and by_place.h5, which tell its classes by one of the two alone."""
    folder = tmp_path_factory.mktemp("altered")
    labels = np.arange(240) % CLASSES
    np.savez(folder / "images.npz", x=np.stack([picture(label) for label in labels]), y=labels)
    with quiet():
        import tf_keras

        layers = tf_keras.layers

        def save(name, *middle):
            model = tf_keras.Sequential([layers.Input((16, 16, 1)), *middle, layers.Dense(CLASSES)], name=name)
            seen = tf_keras.Sequential(model.layers[:-1])(np.stack([picture(k) for k in range(CLASSES)]) / 255.0)
            # The nearest class: |x - m|^2 is least where 2 m x - m^2 is most.
            model.layers[-1].set_weights([2 * np.transpose(seen), -np.sum(np.square(seen), 1)])
            model.save(folder / f"{name}.h5")

        one = tf_keras.initializers.Constant(1 / 9)
        save("by_brightness", layers.Conv2D(4, 3, kernel_initializer=one), layers.GlobalAveragePooling2D())
        save("by_place", layers.LayerNormalization(axis=(1, 2, 3)), layers.Flatten())
    return folder


def source(folder, name, *steps, **tune):
    return open_model(
        Recipe(
            ModelSource(file=str(folder / f"{name}.h5")),
            DataSource(str(folder / "images.npz"), normalize="0..1"),
            optimize=steps,
            tune=Tuning(epochs=1, **tune),
        ),
        silent,
    )


def test_images_are_altered_no_further_than_the_model_knows_them(folder):
    asked = source(folder, "by_brightness")
    words = "0.5: by_brightness is right on 100.0% of 192 training images, altered by 0.5 on 100.0%"
    assert altered.strength(asked) == (0.5, words)
    strength, why = altered.strength(source(folder, "by_place"))
    assert 0 < strength < 0.5
    assert "100.0%" in why
    assert "altered by 0.5 on " in why


def test_a_model_that_bears_none_sees_none(folder, monkeypatch):
    monkeypatch.setattr(altered, "STRENGTHS", (4.0, 2.0))
    assert altered.strength(source(folder, "by_place"))[0] == 0.0


def relabelled(asked, y):
    """The same images with other labels, which are other data: what was found for these does not count."""
    pool = replace(asked.data.pool, y=y, sha256=f"{asked.data.pool.sha256} {y}")
    parts = {part: replace(getattr(asked.data, part), pool=pool) for part in ("train", "calibration", "test")}
    return replace(asked, data=replace(asked.data, pool=pool, **parts))


def test_what_answers_quantities_sees_none_and_without_labels_the_answers_are_right(folder):
    asked = source(folder, "by_brightness")
    assert altered.strength(relabelled(asked, asked.data.pool.y.astype(np.float32)))[0] == 0.0
    strength, why = altered.strength(relabelled(asked, None))
    assert (strength, why.count("100.0%")) == (0.5, 2)
    wrong = np.roll(asked.data.pool.y, 1)  # with labels these count, though the answers stay as they were
    assert "is right on 0.0%" in altered.strength(relabelled(asked, wrong))[1]
    one = source(folder, "by_brightness")
    with quiet():
        import tf_keras

        one.model = tf_keras.Model(one.model.inputs, tf_keras.layers.Dense(1)(one.model.output))
    assert altered.strength(relabelled(one, None))[0] == 0.0


def test_a_model_is_asked_once(folder, monkeypatch):
    found = altered.strength(source(folder, "by_place"))
    monkeypatch.setattr(altered, "_asked", lambda _: pytest.fail("asked again"))
    assert altered.strength(source(folder, "by_place")) == found


def test_what_the_teacher_cannot_tell_is_not_shown_to_the_student(folder):
    teach = {"step": "distill", "teacher": str(folder / "by_place.h5")}
    alone = optimize(source(folder, "by_brightness", NONE_TRAINED), silent)
    assert alone.why["augment"].startswith("0.5: by_brightness")
    taught = optimize(source(folder, "by_brightness", NONE_TRAINED, teach), silent)
    first, _, then = taught.why["augment"].partition("; from distill on ")
    assert first == alone.why["augment"]
    assert then.startswith(("0.25: by_place", "0.125: by_place"))


def test_what_the_recipe_says_is_done(folder, monkeypatch):
    monkeypatch.setattr(altered, "strength", lambda _: pytest.fail("asked, though the recipe says how far"))
    made = optimize(source(folder, "by_brightness", NONE_TRAINED, augment=0.5), silent)
    assert "augment" not in made.why
