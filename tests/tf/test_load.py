"""The user's own files: every format loads equal, and every hostile, foreign or broken one is refused."""

import json
import zipfile

import numpy as np
import pytest

from tflite_edge.records.errors import ModelError
from tflite_edge.tf.models.load import load
from tflite_edge.tf.quiet import quiet
from tflite_edge.tf.source import predict

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["m.h5", "m.keras", "m_saved"])
def test_every_format_answers_as_the_model_in_memory(tmp_path, small_model, name):
    with quiet():
        small_model.save(tmp_path / name, **({"save_format": "tf"} if name == "m_saved" else {}))
    loaded = load(tmp_path / name)
    x = np.random.default_rng(0).uniform(-1, 1, (4, 12, 12, 3)).astype(np.float32)
    np.testing.assert_allclose(predict(loaded, x), predict(small_model, x), atol=1e-6)
    assert loaded.count_params() == small_model.count_params()


@pytest.fixture
def keras2():
    with quiet():
        import tf_keras
    return tf_keras


@pytest.mark.parametrize("name", ["m.h5", "m.keras"])
def test_a_lambda_layer_is_refused_and_never_run(tmp_path, keras2, name):
    ran = tmp_path / "ran"
    code = f"lambda x: (open({str(ran)!r}, 'a').close(), x)[1]"
    model = keras2.Sequential(
        [keras2.Input((4, 4, 1)), keras2.layers.Lambda(eval(code), name="spy"), keras2.layers.Flatten()]
    )
    with quiet():
        model.save(tmp_path / name)
    ran.unlink(missing_ok=True)
    with pytest.raises(ModelError, match="would run code") as caught:
        load(tmp_path / name)
    assert "spy" in caught.value.evidence
    assert "--allow-code" in caught.value.do
    assert not ran.exists()
    load(tmp_path / name, allow_code=True)
    assert ran.exists()


def rewrite(path, name, change):
    """The .keras archive with one JSON member changed."""
    with zipfile.ZipFile(path) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    value = json.loads(members[name])
    change(value)
    members[name] = json.dumps(value).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)


def test_classes_from_foreign_modules_are_refused(tmp_path, small_model):
    path = tmp_path / "m.keras"
    with quiet():
        small_model.save(path)
    rewrite(path, "config.json", lambda c: c["config"]["layers"][1].update(module="os", class_name="system"))
    with pytest.raises(ModelError, match="would run code") as caught:
        load(path)
    assert "system" in caught.value.evidence


def test_keras_3_files_are_named_as_such(tmp_path, small_model):
    path = tmp_path / "m.keras"
    with quiet():
        small_model.save(path)
    rewrite(path, "metadata.json", lambda m: m.update(keras_version="3.15.1"))
    with pytest.raises(ModelError, match=r"written by Keras 3\.15\.1"):
        load(path)


def test_a_real_keras_3_h5_is_named_as_such(tmp_path):
    import h5py

    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "3.15.1"
        file.attrs["model_config"] = "{}"
    with pytest.raises(ModelError, match=r"Keras 3\.15\.1"):
        load(path)


@pytest.mark.parametrize("kind", ["truncated.h5", "truncated.keras", "text.h5", "empty.h5", "weights.h5", "folder"])
def test_files_that_are_no_models_are_refused(tmp_path, small_model, kind):
    path = tmp_path / kind
    with quiet():
        if kind.startswith("truncated"):
            small_model.save(path)
            path.write_bytes(path.read_bytes()[:3000])
        elif kind == "weights.h5":
            small_model.save_weights(path)
        elif kind == "folder":
            path.mkdir()
        else:
            path.write_text("no model" if kind.startswith("text") else "")
    with pytest.raises(ModelError) as caught:
        load(path)
    assert caught.value.exit_code == 3
    assert caught.value.do


def test_nan_weights_are_named(tmp_path, keras2):
    model = keras2.Sequential([keras2.Input((4,)), keras2.layers.Dense(2, name="head")])
    model.layers[0].set_weights([np.full((4, 2), np.nan), np.zeros(2)])
    with quiet():
        model.save(tmp_path / "m.h5")
    with pytest.raises(ModelError, match="NaN") as caught:
        load(tmp_path / "m.h5")
    assert "head/kernel" in caught.value.evidence
    assert "8 of 8" in caught.value.evidence


def test_open_input_sizes_are_closed_or_asked_for(tmp_path, keras2):
    inputs = keras2.Input((None, None, 3))
    pooled = keras2.layers.GlobalAveragePooling2D()(keras2.layers.Conv2D(2, 3)(inputs))
    with quiet():
        keras2.Model(inputs, pooled).save(tmp_path / "m.h5")
    with pytest.raises(ModelError, match="leaves its input size open"):
        load(tmp_path / "m.h5")
    assert load(tmp_path / "m.h5", input_shape=(16, 16, 3)).input_shape == (None, 16, 16, 3)
    with pytest.raises(ModelError, match="takes"):
        load(tmp_path / "m.h5", input_shape=(16, 16, 1))


def test_two_inputs_are_refused(tmp_path, keras2):
    a, b = keras2.Input((4,)), keras2.Input((4,))
    with quiet():
        keras2.Model([a, b], keras2.layers.Add()([a, b])).save(tmp_path / "m.h5")
    with pytest.raises(ModelError, match="2 inputs"):
        load(tmp_path / "m.h5")


def test_a_saved_model_that_reads_files_is_refused(tmp_path):
    with quiet():
        import tensorflow as tf

        class Reader(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
            def __call__(self, x):
                tf.io.read_file("/etc/passwd")
                return {"y": x + 1.0}

        module = Reader()
        tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.__call__)
    with pytest.raises(ModelError, match="reaches outside") as caught:
        load(tmp_path / "m")
    assert "ReadFile" in caught.value.evidence
    assert load(tmp_path / "m", allow_code=True).output_shape == (None, 4)
