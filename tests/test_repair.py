"""The repair ladder on models that plain int8 gets wrong, each for another reason, through the whole pipeline."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tflite_edge.flatbuffer import inspect
from tflite_edge.pipeline import convert
from tflite_edge.records.job import Job
from tflite_edge.records.plain import to_plain
from tflite_edge.records.recipe import recipe_for
from tflite_edge.records.repair import RUNGS, Repair
from tflite_edge.targets.local import Local

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(digits):
    """A convolutional net for the digits as tf_keras layers know it, at some 98 %."""
    import tflite_edge.tf  # noqa: F401 - sets the environment before TensorFlow is imported
    from tflite_edge.tf.quiet import quiet

    with quiet():
        import tf_keras

        tf_keras.utils.set_random_seed(1)
        layers = tf_keras.layers
        model = tf_keras.Sequential(
            [
                tf_keras.Input((8, 8, 1), name="image"),
                layers.Conv2D(16, 3, activation="relu", name="conv"),
                layers.DepthwiseConv2D(3, activation="relu", name="depthwise"),
                layers.Conv2D(32, 1, activation="relu", name="pointwise"),
                layers.Flatten(),
                layers.Dense(32, activation="relu", name="hidden"),
                layers.Dense(10, activation="softmax", name="probabilities"),
            ],
            name="net",
        )
        images, y = digits
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(images[..., None] / 127.5 - 1.0, y, epochs=10, verbose=0)
    return model


def copy_of(model):
    from tflite_edge.tf.optimize.graph import fresh
    from tflite_edge.tf.quiet import quiet

    with quiet():
        return fresh(model)


def save(model, path):
    from tflite_edge.tf.quiet import quiet

    with quiet():
        model.save(path)
    return path


def rescale(model, first, second, factors):
    """Channels of `first` times the factors, and what reads them divided: the same function."""
    kernel, bias = model.get_layer(first).get_weights()
    if kernel.shape[-1] == 1:  # depthwise: [h, w, channels, 1]
        model.get_layer(first).set_weights([kernel * factors[:, None], bias * factors])
    else:
        model.get_layer(first).set_weights([kernel * factors, bias * factors])
    kernel, bias = model.get_layer(second).get_weights()
    model.get_layer(second).set_weights([kernel / factors[:, None], bias])


@pytest.fixture(scope="module")
def scaled(trained, tmp_path_factory):
    """The same function with channels whose scales differ up to ten thousand times."""
    model, random = copy_of(trained), np.random.default_rng(0)
    for first, second, count in (
        ("conv", "depthwise", 16),
        ("depthwise", "pointwise", 16),
        ("hidden", "probabilities", 32),
    ):
        rescale(model, first, second, (10 ** random.uniform(-2, 2, count)).astype(np.float32))
    path = tmp_path_factory.mktemp("scaled") / "scaled.h5"
    save(model, path)
    return path


def run(path, out, **changes):
    asked = {"data.source": "digits", "data.normalize": "-1..1", "convert.quantize": ("int8",), **changes}
    return convert(recipe_for(str(path), asked), out)


@pytest.fixture(scope="module")
def equalised(scaled, tmp_path_factory):
    out = tmp_path_factory.mktemp("equalised")
    return out, run(scaled, out, **{"gates.max_drop": 1.0, "target.runtime": "tflite-micro"})


def test_channels_of_wild_scales_fail_in_plain_int8_and_are_right_once_they_are_evened_out(equalised):
    """Dense weights have one scale for tflite-micro: that hurts most."""
    out, manifest = equalised
    (variant,) = manifest.models
    ladder = variant.repair
    plain, *_, last = ladder.rungs
    assert plain.loss > 20
    assert (variant.verdict, ladder.accepted, last.name) == ("ok", "equalisation", "equalisation")
    assert last.settings.equalize
    assert abs(last.loss) <= 1
    assert variant.drop == last.loss
    assert (last.bytes, last.float_operators) == (variant.bytes, 0)
    assert last.seconds > 0
    assert last.latency > 0
    facts = inspect(out / variant.file)
    assert facts.scheme == "static-wi8ai8"
    assert facts.weights.per_channel == 3  # the convolutions
    job = Job("score", str(out / variant.file), pack=str(out / "samples.npz"), preprocess=manifest.preprocess)
    assert Local().score(job).top1 > 0.9


def test_the_manifest_makes_the_same_file_without_a_ladder(equalised, tmp_path):
    out, manifest = equalised
    again = convert(recipe_for(str(out / "manifest.json")), tmp_path / "again")
    assert again.models[0].sha256 == manifest.models[0].sha256
    assert again.models[0].repair is None
    assert again.models[0].drop == manifest.models[0].drop
    assert again.recipe.repair == manifest.models[0].repair.settings
    written = json.loads((tmp_path / "again" / "manifest.json").read_text())
    assert written["recipe"]["repair"] == to_plain(manifest.models[0].repair.settings)


def test_a_ladder_that_came_to_the_other_quantiser_is_made_again_by_it(trained, tmp_path):
    path = save(trained, tmp_path / "net.h5")
    asked = recipe_for(str(path), {"data.source": "digits", "convert.quantize": ("int8",)})
    manifest = convert(replace(asked, repair=Repair(quantizer="litert")), tmp_path / "out")
    (variant,) = manifest.models
    assert (variant.quantizer, variant.verdict, manifest.source.notes) == ("litert", "ok", [])
    (theirs,) = run(path, tmp_path / "theirs", **{"convert.quantizer": "litert"}).models
    assert theirs.sha256 == variant.sha256


def test_nothing_is_repaired_unless_a_drop_was_asked_for(scaled, tmp_path):
    manifest = run(scaled, tmp_path)
    assert manifest.verdict == "degraded"
    assert manifest.models[0].repair is None


def test_a_few_values_far_out_are_cut_off(trained, digits, tmp_path):
    """One more hidden unit that nobody reads is silent but for one sample in fifty."""
    from tflite_edge.tf.quiet import quiet

    with quiet():
        import tf_keras

        features = tf_keras.Model(trained.input, trained.get_layer("pointwise").output)
        flat = tf_keras.layers.Flatten()(features.output)
        hidden = tf_keras.layers.Dense(33, activation="relu", name="hidden")(flat)
        answer = tf_keras.layers.Dense(10, activation="softmax", name="probabilities")(hidden)
        model = tf_keras.Model(trained.input, answer, name="spiky")
        direction = np.random.default_rng(0).normal(size=(flat.shape[-1], 1)).astype(np.float32)
        seen = np.asarray(tf_keras.Model(trained.input, flat)(digits[0][..., None] / 127.5 - 1.0)) @ direction
        scale = 1e6 / seen.max()
        kernel, bias = trained.get_layer("hidden").get_weights()
        spike = -scale * np.quantile(seen, 0.98)
        model.get_layer("hidden").set_weights(
            [np.hstack([kernel, scale * direction]), np.append(bias, spike).astype(np.float32)]
        )
        kernel, bias = trained.get_layer("probabilities").get_weights()
        model.get_layer("probabilities").set_weights([np.vstack([kernel, np.zeros((1, 10), np.float32)]), bias])
    manifest = run(save(model, tmp_path / "spiky.h5"), tmp_path / "out", **{"gates.max_drop": 1.0})
    (variant,) = manifest.models
    assert variant.repair.rungs[0].loss > 10
    assert (variant.repair.accepted, variant.verdict) == ("ranges", "ok")
    assert variant.repair.settings.ranges.startswith("99")


def test_one_operator_that_8_bits_cannot_hold_stays_in_float(digits, tmp_path):
    """Three pixels of the digits are never lit, so nobody but the scale notices their enormous weights."""
    from tflite_edge.tf.quiet import quiet

    images, y = digits
    dark = np.flatnonzero(images.reshape(len(images), -1).max(0) == 0)
    assert len(dark) == 3
    with quiet():
        import tf_keras

        tf_keras.utils.set_random_seed(1)
        layers = tf_keras.layers
        model = tf_keras.Sequential(
            [
                tf_keras.Input((8, 8, 1), name="image"),
                layers.Flatten(),
                layers.Dense(32, activation="relu", name="first"),
                layers.Dense(32, activation="relu", name="second"),
                layers.Dense(10, activation="softmax", name="probabilities"),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(images[..., None] / 255, y, epochs=15, verbose=0)
        kernel, bias = model.get_layer("first").get_weights()
        kernel[dark] = 500.0
        model.get_layer("first").set_weights([kernel, bias])
    path = save(model, tmp_path / "enormous.h5")
    changes = {"gates.max_drop": 1.0, "data.normalize": "0..1", "target.runtime": "tflite-runtime"}
    manifest = run(path, tmp_path / "out", **changes)
    (variant,) = manifest.models
    last = variant.repair.rungs[-1]
    assert variant.repair.rungs[0].loss > 10
    assert (variant.repair.accepted, variant.verdict, variant.findings) == ("sparing", "ok", [])
    assert len(last.settings.spare) == 1
    assert variant.file == "enormous-mixed-wi8ai8.tflite"
    facts = inspect(tmp_path / "out" / variant.file)
    assert [op.name for op in facts.float_operators if op.name == "FULLY_CONNECTED"] == ["FULLY_CONNECTED"]
    assert last.float_operators == len(facts.float_operators)
    assert (facts.inputs[0].dtype, facts.outputs[0].dtype) == ("int8", "int8")
    assert variant.score.runtime.name == "tflite-runtime"


def test_a_ladder_that_ends_keeps_the_best_file_and_says_what_was_tried(trained, edge, tmp_path):
    """No file gains a hundred points, so every rung is climbed, training included."""
    path = save(trained, tmp_path / "net.h5")
    command = ["convert", path, "--data", "digits", "--quantize", "int8", "--max-drop", "-100", "-o", tmp_path / "out"]
    done = edge(*command, code=1)
    assert max(map(len, done.stdout.splitlines())) <= 100
    document = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert document["verdict"] == "degraded"
    (variant,) = document["models"]
    ladder = variant["repair"]
    assert [rung["name"] for rung in ladder["rungs"]] == ["plain", *RUNGS]
    judged = {rung["name"]: rung["loss"] for rung in ladder["rungs"] if rung["loss"] is not None}
    assert "qat" in judged
    errors = {rung["name"]: rung["error"] for rung in ladder["rungs"]}
    assert 0 < errors["quantizer"] != errors["plain"], "LiteRT Quantizer made a file of its own"
    assert all(rung["why"] for rung in ladder["rungs"] if rung["loss"] is None)
    assert ladder["looks"] == len(judged)
    assert variant["drop"] == min(judged.values()) == judged[ladder["accepted"]]
    assert "repair: calibration" in variant["findings"][0]["evidence"]
    assert "no rung meets the gates" in done.stdout
    for name in ladder["rungs"]:
        assert name["name"] in done.stdout
    again = edge("convert", tmp_path / "out" / "manifest.json", "-o", tmp_path / "again", "--format", "json", code=1)
    assert json.loads(again.stdout)["models"][0]["sha256"] == variant["sha256"]


def test_samples_that_represent_nothing_are_replaced(trained, tmp_path):
    """Nearly black images give ranges in which no digit fits."""
    random = np.random.default_rng(0)
    np.savez(tmp_path / "dark.npz", x=random.integers(0, 9, (40, 8, 8)).astype(np.uint8), y=np.arange(40) % 10)
    path = save(trained, tmp_path / "net.h5")
    changes = {"data.representative": str(tmp_path / "dark.npz"), "gates.max_drop": 1.0}
    manifest = run(path, tmp_path / "out", **changes)
    (variant,) = manifest.models
    assert variant.repair.rungs[0].loss > 5
    assert (variant.repair.accepted, variant.verdict) == ("calibration", "ok")
    assert variant.repair.settings.samples or variant.repair.settings.advice
    assert variant.repair.rungs[1].tried == 3
    advised = Repair(ranges="minmax", advice="redraw")
    recipe = replace(manifest.recipe.with_paths(lambda path: str(tmp_path / "out" / path)), repair=advised)
    (again,) = convert(recipe, tmp_path / "advised").models
    assert again.drop <= 1
