"""The user's own files: every format loads equal, and every hostile, foreign or broken one is refused."""

import json
import zipfile

import numpy as np
import pytest

from tflite_edge.records.errors import ModelError
from tflite_edge.tf.models.load import is_quantized, load, read
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


def test_files_that_say_keras_3_and_are_not_are_refused(tmp_path, small_model):
    path = tmp_path / "m.keras"
    with quiet():
        small_model.save(path)
    rewrite(path, "metadata.json", lambda m: m.update(keras_version="3.15.1"))
    with pytest.raises(ModelError, match=r"Keras 3\.15\.1 wrote it"):
        load(path)


def test_an_empty_keras_3_h5_is_refused(tmp_path):
    import h5py

    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "3.15.1"
        file.attrs["model_config"] = "{}"
    with pytest.raises(ModelError, match=r"Keras 3\.15\.1"):
        load(path)


@pytest.mark.parametrize(
    "kind", ["truncated.h5", "truncated.keras", "list.keras", "text.h5", "empty.h5", "weights.h5", "folder"]
)
def test_files_that_are_no_models_are_refused(tmp_path, small_model, kind):
    path = tmp_path / kind
    with quiet():
        if kind.startswith("truncated"):
            small_model.save(path)
            path.write_bytes(path.read_bytes()[:3000])
        elif kind == "list.keras":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("metadata.json", "[]")
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


@pytest.mark.parametrize(
    ("signature", "says"), [([], "has 0 inputs and 1 outputs"), ([None], "leaves open how many axes its input has")]
)
def test_a_saved_model_without_one_input_of_known_rank_is_refused(tmp_path, signature, says):
    with quiet():
        import tensorflow as tf

        @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="x") for shape in signature])
        def answer(*x):
            return {"y": tf.constant(1.0) + sum(x)}

        tf.saved_model.save(tf.Module(), str(tmp_path / "m"), {"serving_default": answer.get_concrete_function()})
    with pytest.raises(ModelError, match=says):
        load(tmp_path / "m")


@pytest.fixture
def keras3():
    with quiet():
        import keras
    return keras


@pytest.fixture
def keras3_model(keras3):
    """Nested, with operators, augmentation and weights that are not those of the start."""
    layers = keras3.layers
    inner = keras3.Sequential(
        [keras3.Input((12, 12, 3)), layers.Conv2D(4, 3, use_bias=False), layers.BatchNormalization(name="norm")]
    )
    image = keras3.Input((12, 12, 3), name="image")
    x = inner(layers.RandomFlip(name="flip")(layers.Rescaling(1 / 255)(image)))
    x = layers.Flatten()(keras3.ops.relu(x) * 0.5 + x)
    model = keras3.Model(image, layers.Dense(4, activation="softmax", name="head")(x), name="three")
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(np.abs(random.normal(0, 0.3, weight.shape)) + 0.1)
    return model


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_keras_3_files_are_rebuilt_and_say_so(tmp_path, keras3, keras3_model, name):
    with quiet():
        keras3_model.save(tmp_path / name)
    loaded = read(tmp_path / name)
    x = np.random.default_rng(1).uniform(0, 255, (4, 12, 12, 3)).astype(np.float32)
    with quiet():
        wanted = np.asarray(keras3_model(x, training=False))
    np.testing.assert_allclose(predict(loaded.model, x), wanted, atol=1e-6)
    assert f"from Keras {keras3.__version__}, largest difference" in loaded.notes[0]
    assert "flip (RandomFlip)" in loaded.notes[1]


def test_convert_shows_that_a_model_was_rebuilt(tmp_path, edge, keras3_model, image_folder):
    with quiet():
        keras3_model.save(tmp_path / "m.keras")
    out = tmp_path / "out"
    document = edge.json(
        "convert", tmp_path / "m.keras", "--data", image_folder, "--quantize", "float32,int8", "-o", out,
        "--max-drop", "100", "--accept-degraded",
    )  # fmt: skip
    assert (
        "rebuilt in Keras 2 from Keras 3" in json.loads((out / "manifest.json").read_text())["source"]["why"]["model"]
    )
    assert document["verdict"] in ("ok", "degraded")


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_a_lambda_of_keras_3_is_refused_and_never_run(tmp_path, keras3, name):
    ran = tmp_path / "ran"
    code = f"lambda x: (open({str(ran)!r}, 'a').close(), x)[1]"
    layers = keras3.layers
    with quiet():
        model = keras3.Sequential(
            [keras3.Input((4, 4, 1)), layers.Lambda(eval(code), output_shape=(4, 4, 1), name="spy"), layers.Flatten()]
        )
        model.save(tmp_path / name)
    ran.unlink(missing_ok=True)
    with pytest.raises(ModelError, match="would run code") as caught:
        load(tmp_path / name)
    assert "spy" in caught.value.evidence
    assert "--allow-code" in caught.value.do
    assert not ran.exists()


def test_a_trusted_lambda_of_keras_3_is_rebuilt(tmp_path, keras3):
    layers = keras3.layers
    with quiet():
        inputs = keras3.Input((4, 4, 1))
        double = layers.Lambda(lambda x: x * 2.0, output_shape=(4, 4, 1))(inputs)
        keras3.Model(inputs, layers.Flatten()(double)).save(tmp_path / "m.keras")
    x = np.ones((1, 4, 4, 1), np.float32)
    np.testing.assert_allclose(predict(load(tmp_path / "m.keras", allow_code=True), x), 2 * np.ones((1, 16)))


HOSTILE = {
    "module": {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"},
    "utility": {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"},
    "switch": {"module": "keras.config", "class_name": "function", "config": "enable_unsafe_deserialization"},
    "builtin": {"module": "builtins", "class_name": "function", "config": "exec", "registered_name": "function"},
    "lambda": {"class_name": "__lambda__", "config": {"value": ["", None, None]}},
    "saved model": {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "/tmp", "name": "x"}},
    "vocabulary": {
        "module": "keras.layers", "class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd", "name": "x"}},
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_keras_3_files_reach_for_nothing_outside_of_the_model(tmp_path, keras3_model, name):
    path = tmp_path / "m.keras"
    with quiet():
        keras3_model.save(path)
    rewrite(path, "config.json", lambda c: c["config"]["layers"][-1]["config"].update(activation=HOSTILE[name]))
    with pytest.raises(ModelError, match="would run code"):
        load(path)


def test_custom_layers_of_keras_3_are_refused_by_name(tmp_path, keras3):
    class Doubled(keras3.layers.Layer):
        def call(self, x):
            return 2 * x

    for name in ("m.keras", "m.h5"):
        with quiet():
            model = keras3.Sequential([keras3.Input((4,)), keras3.layers.Dense(2), Doubled(name="odd")])
            model.save(tmp_path / name)
        with pytest.raises(ModelError, match="Doubled") as caught:
            load(tmp_path / name)
        assert "'odd'" in caught.value.evidence


def test_what_keras_3_alone_has_is_refused_with_the_file_name(tmp_path, keras3):
    with quiet():
        model = keras3.Sequential([keras3.Input((4,)), keras3.layers.RMSNormalization(name="rms")])
        model.save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match=r"m\.keras: layer rms \(RMSNormalization\) has no twin"):
        load(tmp_path / "m.keras")


def test_a_model_that_keras_3_quantised_is_named_for_what_it_is(tmp_path, keras3):
    with quiet():
        model = keras3.Sequential([keras3.Input((4,)), keras3.layers.Dense(2, name="head")])
        model.quantize("int8")
        model.save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match=r"layer head \(Dense\) computes in int8_from_float32"):
        load(tmp_path / "m.keras")


def test_nan_weights_of_keras_3_are_named(tmp_path, keras3):
    with quiet():
        model = keras3.Sequential([keras3.Input((4,)), keras3.layers.Dense(2, name="head")])
        model.layers[0].set_weights([np.full((4, 2), np.nan), np.zeros(2)])
        model.save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match="NaN") as caught:
        load(tmp_path / "m.keras")
    assert "head/kernel" in caught.value.evidence


@pytest.fixture
def plain(keras2):
    layers = keras2.layers
    with quiet():
        model = keras2.Sequential(
            [
                keras2.Input((12, 12, 3), name="image"),
                layers.Conv2D(8, 3, use_bias=False, name="conv"),
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.Flatten(),
                layers.Dense(4, activation="softmax", name="head"),
            ]
        )
    random = np.random.default_rng(0)
    model.set_weights([np.abs(random.normal(0, 0.1, weight.shape)) + 0.1 for weight in model.weights])
    return model


def wrap(kind, model):
    import tensorflow_model_optimization as tfmot

    if kind == "pruned":
        schedule = tfmot.sparsity.keras.ConstantSparsity(0.5, 0, frequency=1)
        wrapped = tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)
        wrapped.compile("sgd", "mse")
        step = tfmot.sparsity.keras.UpdatePruningStep()
        wrapped.fit(np.zeros((4, 12, 12, 3)), np.zeros((4, 4)), epochs=2, verbose=0, callbacks=[step])
        return wrapped
    if kind == "clustered":
        init = tfmot.clustering.keras.CentroidInitialization.LINEAR
        return tfmot.clustering.keras.cluster_weights(model, number_of_clusters=4, cluster_centroids_init=init)
    annotated = tfmot.quantization.keras.quantize_annotate_model(model)
    if kind == "annotated":
        return annotated
    with tfmot.quantization.keras.quantize_scope():
        return tfmot.quantization.keras.quantize_apply(annotated)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in ("pruned", "clustered", "annotated") for name in ("m.h5", "m.keras")]
    + [("quantised", "m.h5")],
)
def test_tf_mots_files_are_named_for_what_they_are(tmp_path, plain, kind, name):
    with quiet():
        wrapped = wrap(kind, plain)
        wrapped.save(tmp_path / name)
    loaded = read(tmp_path / name)
    x = np.random.default_rng(1).uniform(-1, 1, (4, 12, 12, 3)).astype(np.float32)
    np.testing.assert_allclose(predict(loaded.model, x), predict(wrapped, x), atol=1e-5)
    assert kind in loaded.notes[0]
    kinds = {type(layer).__name__ for layer in loaded.model.layers}
    assert is_quantized(loaded.model) == (kind == "quantised")
    if kind == "quantised":
        assert "QuantizeWrapperV2" in kinds
        return
    assert kinds == {type(layer).__name__ for layer in plain.layers}
    kernel = loaded.model.get_layer("head").kernel.numpy()
    if kind == "pruned":
        assert (kernel == 0).mean() == 0.5
        assert "50%" in loaded.notes[0]
    if kind == "clustered":
        assert len(np.unique(kernel)) <= 4


def test_a_quantised_keras_file_which_tf_keras_cannot_read_back_is_refused(tmp_path, plain):
    with quiet():
        wrap("quantised", plain).save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load(tmp_path / "m.keras")
    assert ".h5" in caught.value.do


def test_a_quantised_model_converts_to_int8_with_its_own_ranges(tmp_path, plain):
    from tflite_edge.flatbuffer import inspect
    from tflite_edge.records.conversion import Conversion
    from tflite_edge.tf.convert.convert import convert
    from tflite_edge.tf.convert.freeze import freeze

    with quiet():
        wrap("quantised", plain).save(tmp_path / "m.h5")
    model = load(tmp_path / "m.h5")
    x = np.random.default_rng(1).uniform(-1, 1, (16, 12, 12, 3)).astype(np.float32)
    frozen = freeze(model, tmp_path / "frozen")
    (tmp_path / "m.tflite").write_bytes(convert(frozen, Conversion("int8"), x))
    assert inspect(tmp_path / "m.tflite").scheme == "static-wi8ai8"
