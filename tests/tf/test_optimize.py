"""Chains of steps through the pipeline: what they promise is looked for in the bytes."""

from dataclasses import replace

import numpy as np
import pytest

import tflite_edge
from tflite_edge.flatbuffer import inspect
from tflite_edge.records.errors import DataError, ModelError, RecipeError
from tflite_edge.records.event import silent
from tflite_edge.records.recipe import Recipe, Tuning, recipe_for
from tflite_edge.records.step import parse_steps

pytestmark = pytest.mark.slow
GATES = {"gates.max_drop": 60.0, "gates.min_agreement": 0.0}


def recipe(model_file, image_folder, steps, *modes, epochs=2, **changes):
    made = recipe_for(
        str(model_file),
        {
            "data.source": str(image_folder),
            "convert.quantize": modes or ("int8",),
            "optimize": steps,
            **GATES,
            **changes,
        },
    )
    return replace(made, tune=Tuning(epochs=epochs, learning_rate=0.002, augment=0.0))


def kernels(folder, manifest):
    return {mode: inspect(folder / file) for mode, file in ((m.mode + m.scheme[:8], m.file) for m in manifest.models)}


def test_prune_cluster_qat_keep_zeros_and_clusters_into_the_bytes(model_file, image_folder, tmp_path):
    asked = recipe(model_file, image_folder, "prune=0.5,cluster=8,qat")
    tables = [{**table, "ends": True} if table["step"] != "qat" else table for table in asked.optimize]
    manifest = tflite_edge.convert(replace(asked, optimize=tuple(tables)), tmp_path)
    assert [(model.mode, model.original) for model in manifest.models] == [
        ("float32", True), ("int8", True), ("int8", False),
    ]  # fmt: skip
    original, plain, made = (inspect(tmp_path / model.file) for model in manifest.models)
    assert manifest.models[0].file == "original/small-float.tflite"
    assert manifest.models[1].file == "original/small-static-wi8ai8.tflite"
    assert original.compression.sparsity < 0.05
    assert plain.compression.half_unique_per_channel > 9
    assert made.compression.sparsity >= 0.45
    assert not made.float_operators
    assert "-s5" in manifest.models[2].file
    assert any("dense kernels gain no speed from zeros or shared values" in line for line in manifest.realised)
    assert {step.name for step in manifest.source.steps} == {"prune", "cluster", "qat"}
    for layer in manifest.source.steps[1].after.layers:
        if layer.weights > 64 and layer.sparsity > 0.4:
            assert layer.unique_per_tensor <= 8
    assert all(kernel.unique_per_channel <= 9 for kernel in made.kernels if kernel.sparsity > 0.4)


def test_channels_and_a_teacher_make_a_smaller_file(model_file, image_folder, tmp_path):
    steps = f"channels=0.5,distill={model_file}"
    manifest = tflite_edge.convert(recipe(model_file, image_folder, steps, "float32"), tmp_path)
    original, made = manifest.models
    assert made.bytes < 0.8 * original.bytes
    channels, distill = manifest.source.steps
    assert channels.after.macs < channels.before.macs
    assert any(f"{1 - channels.after.macs / channels.before.macs:.0%} fewer mult" in line for line in manifest.realised)
    assert (
        channels.after.parameters
        < channels.before.parameters
        == distill.before.parameters + (channels.before.parameters - channels.after.parameters)
    )


def test_finished_steps_are_found_again_and_a_changed_one_is_not(model_file, image_folder, tmp_path):
    heard = []
    asked = recipe(model_file, image_folder, "prune=0.6", "float32")
    first = tflite_edge.convert(asked, tmp_path / "a", listen=heard.append)
    assert any(event.step == "prune" for event in heard)
    heard.clear()
    again = tflite_edge.convert(asked, tmp_path / "b", listen=heard.append)
    assert not any(event.step == "prune" for event in heard)
    assert [m.sha256 for m in again.models] == [m.sha256 for m in first.models]
    other = replace(asked, optimize=parse_steps("prune=0.7"))
    tflite_edge.convert(other, tmp_path / "c", listen=heard.append)
    assert any(event.step == "prune" for event in heard)


def test_what_cannot_work_later_is_refused_before_anything_is_trained(model_file, image_folder, tmp_path):
    heard = []
    tables = ({"step": "prune"}, {"step": "cluster", "layers": ["nothing_*"]})
    asked = replace(recipe(model_file, image_folder, "prune=0.5"), optimize=tables)
    with pytest.raises((RecipeError, ModelError)):
        tflite_edge.convert(asked, tmp_path, listen=heard.append)
    assert not any(event.step == "prune" for event in heard)
    assert not list(tmp_path.glob("*.tflite"))


def test_what_cannot_work_is_refused_before_a_zoo_model_is_trained(tmp_path):
    """The student's own first training would take longest of all."""
    for steps, message in (
        ("prune,cluster=100000000", "cluster applies to no layer"),
        ("channels=0.001", "removes nothi"),
    ):
        heard = []
        asked = recipe_for("resnet8", {"model.input": (8, 8, 1), "data.source": "digits", "optimize": steps})
        with pytest.raises(RecipeError, match=message):
            tflite_edge.convert(asked, tmp_path, listen=heard.append)
        assert {event.step for event in heard} == {"load"}


def test_what_cannot_work_is_refused_before_a_zoo_teacher_is_trained(model_file, image_folder, tmp_path):
    """Neither a teacher of another input nor a later step is found out after hours."""
    large = small_model_of(32, tmp_path / "large.h5")
    for file, steps, message in (
        (model_file, "distill=mobilenet", "mobilenet cannot take an input of"),
        (large, "distill=mobilenet,cluster=100000000", "cluster applies to no layer"),
    ):
        heard = []
        with pytest.raises(RecipeError, match=message):
            tflite_edge.convert(recipe(file, image_folder, steps), tmp_path / "o", listen=heard.append)
        assert {event.step for event in heard} == {"load"}


def small_model_of(size, path):
    from tflite_edge.tf.quiet import quiet

    with quiet():
        import tf_keras

        layers = tf_keras.layers
        stack = [
            layers.Conv2D(4, 3, 2),
            layers.Conv2D(4, 3),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, "softmax"),
        ]
        tf_keras.Sequential([tf_keras.Input((size, size, 3)), *stack], name="small").save(path)
    return path


def test_a_missing_teacher_is_named_before_any_data_are_read(model_file, tmp_path):
    heard = []
    with pytest.raises(ModelError, match="no teacher file mobilenett") as caught:
        tflite_edge.convert(recipe(model_file, "digits", "distill=mobilenett"), tmp_path, listen=heard.append)
    assert caught.value.do == "did you mean 'mobilenet'?"
    assert heard == []
    with pytest.raises(RecipeError, match="autoencoder cannot teach"):
        tflite_edge.convert(recipe(model_file, "digits", "distill=autoencoder"), tmp_path)


def test_a_teacher_s_normalisation_is_its_own(model_file, image_folder, tmp_path):
    """What the command says of the student's does not hold for a teacher that was trained with another."""
    from tflite_edge.tf.optimize.optimize import open_teacher
    from tflite_edge.tf.source import open_model

    asked = recipe(model_file, image_folder, f"distill={model_file}", **{"data.normalize": "0..1"})
    source = open_model(asked, silent)
    assert source.data.preprocess.std == (255.0,)
    assert open_teacher(asked.steps[0], source).data.preprocess.std == (127.5,)


def test_a_step_that_diverges_is_named_and_not_kept(model_file, image_folder, tmp_path):
    asked = recipe(model_file, image_folder, "prune=0.5", "float32")
    asked = replace(asked, tune=Tuning(epochs=2, learning_rate=1e30, augment=0.0))
    for _ in range(2):
        with pytest.raises(ModelError, match="the model after prune has NaN or infinite weights") as caught:
            tflite_edge.convert(asked, tmp_path)
        assert "learning_rate" in caught.value.do
    assert not list(tmp_path.glob("*.tflite"))


def test_a_teacher_that_does_not_fit_is_refused(model_file, image_folder, tmp_path, digits):
    from tflite_edge.tf.quiet import quiet

    with quiet():
        import tf_keras

        wide = tf_keras.Sequential(
            [tf_keras.Input((12, 12, 3)), tf_keras.layers.Flatten(), tf_keras.layers.Dense(7, "softmax")]
        )
        wide.save(tmp_path / "teacher.h5")
    with pytest.raises(DataError, match=r"4 classes, but .* 7 outputs"):
        tflite_edge.convert(recipe(model_file, image_folder, f"distill={tmp_path / 'teacher.h5'}"), tmp_path / "o")


def test_without_labels_only_a_teacher_can_train_and_that_is_known_before(model_file, small_model, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(1).uniform(-1, 1, (80, 12, 12, 3)).astype(np.float32))
    asked = recipe(model_file, tmp_path / "x.npz", "channels=0.5,qat", epochs=1)
    tables = ({**asked.optimize[0], "epochs": 0}, asked.optimize[1])
    heard = []
    with pytest.raises(DataError, match="no labels to train on"):
        tflite_edge.convert(replace(asked, optimize=tables), tmp_path / "out", listen=heard.append)
    assert not list(tmp_path.glob("out/*.tflite"))
    taught = recipe(model_file, tmp_path / "x.npz", f"distill={model_file},channels=0.5", "float32", epochs=1)
    made = tflite_edge.convert(taught, tmp_path / "out").models[-1]
    assert made.verdict == "ok"


def test_the_user_s_model_object_is_not_changed(model_file, image_folder):
    from tflite_edge.tf.optimize.optimize import optimize
    from tflite_edge.tf.source import open_model

    asked = recipe(model_file, image_folder, "channels=0.25,prune=0.5,cluster=8,qat", epochs=1)
    source = open_model(asked, silent)
    before = [weight.copy() for weight in source.model.get_weights()]
    names = [layer.name for layer in source.model.layers]
    made = optimize(source, silent)
    assert made.quantized is not None
    assert [layer.name for layer in source.model.layers] == names
    for old, new in zip(before, source.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_recipe_with_steps_survives_the_round_trip():
    from tflite_edge.records.plain import from_plain, to_plain

    made = recipe_for("mobilenet", {"optimize": "channels=0.5,prune=0.5,cluster=16,qat"})
    assert from_plain(Recipe, to_plain(made)) == made


def test_other_labels_and_other_test_samples_are_another_step(tmp_path):
    """The same x, of which a step's key must not only know the training half."""
    import tf_keras

    from tflite_edge.tf.quiet import quiet

    generator = np.random.default_rng(5)
    x = generator.normal(size=(200, 6)).astype(np.float32)
    y = (x @ generator.normal(size=(6, 1))).astype(np.float32)
    layers = tf_keras.layers
    model = tf_keras.Sequential([layers.Input((6,)), layers.Dense(16, "relu"), layers.Dense(16), layers.Dense(1)])
    with quiet():
        model.save(tmp_path / "model.h5")

    def trained(name, labels):
        np.savez(tmp_path / f"{name}.npz", x=x, y=labels)
        asked = recipe(tmp_path / "model.h5", tmp_path / f"{name}.npz", "prune=0.5", "float32", epochs=1)
        heard = []
        tflite_edge.convert(asked, tmp_path / name, listen=heard.append)
        return any(event.step == "prune" for event in heard)

    assert trained("one", y)
    assert not trained("same", y)
    assert trained("other", -y)


def test_where_a_teacher_lies_is_nobody_s_business_and_who_it_is_is_said(model_file, image_folder, tmp_path):
    from shutil import copy

    heard, files = [], [tmp_path / "a" / "teacher.h5", tmp_path / "b" / "teacher.h5"]
    for file in files:
        file.parent.mkdir()
        copy(model_file, file)
        asked = recipe(model_file, image_folder, f"distill={file}", "float32", epochs=1)
        manifest = tflite_edge.convert(asked, file.parent / "out", listen=heard.append)
        assert str(tmp_path) not in str(manifest.source.steps)
        assert "teacher, SHA-256 " in manifest.source.why["teacher"]
        assert "normalize -1..1" in manifest.source.why["teacher"]
    assert sum(event.step == "distill" and event.done == 0 for event in heard) == 1
