"""Evil files in every format do nothing, and honest ones of every kind still load."""

import io
import json
import zipfile

import numpy as np
import pytest

from tflite_edge.records.errors import ModelError
from tflite_edge.records.recipe import ModelSource
from tflite_edge.tf.models import strangers
from tflite_edge.tf.models.load import load
from tflite_edge.tf.models.zoo import build
from tflite_edge.tf.quiet import quiet
from tflite_edge.tf.source import predict

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def keras2():
    import tflite_edge.tf  # noqa: F401 - sets the environment before TensorFlow is imported

    with quiet():
        import tf_keras
    return tf_keras


@pytest.fixture(scope="module")
def tf(keras2):
    import tensorflow

    return tensorflow


@pytest.fixture
def plain(keras2):
    return keras2.Sequential([keras2.Input((4,)), keras2.layers.Dense(2, activation="relu", name="head")])


def change_config(path, change):
    """The model file with `change` applied to its configuration; returns the path."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        config = json.loads(members["config.json"])
        change(config)
        members["config.json"] = json.dumps(config).encode()
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    else:
        import h5py

        with h5py.File(path, "a") as file:
            config = json.loads(file.attrs["model_config"])
            change(config)
            file.attrs["model_config"] = json.dumps(config)
    return path


def calling(function, *args, **kwargs):
    """A change: a TFOpLambda layer that calls a TensorFlow function on constants while the model is rebuilt."""

    def change(config):
        node = ["_CONSTANT_VALUE", -1, args[0], dict(zip(("contents",), args[1:], strict=False), **kwargs)]
        config["config"]["layers"].append(
            {
                "class_name": "TFOpLambda",
                "module": "tf_keras.src.layers.core.tf_op_layer",
                "registered_name": "TFOpLambda",
                "name": "evil",
                "config": {"name": "evil", "trainable": True, "dtype": "float32", "function": function},
                "inbound_nodes": [node],
            }
        )

    return change


@pytest.fixture
def functional(keras2):
    inputs = keras2.Input((4,))
    return keras2.Model(inputs, keras2.layers.Dense(2, name="head")(inputs))


@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_a_file_that_writes_while_keras_loads_it(tmp_path, keras2, functional, suffix):
    """The hole itself: tf_keras does run it, so that the test would fail if nothing were refused."""
    path, target = tmp_path / f"m.{suffix}", tmp_path / "pwned"
    with quiet():
        functional.save(path)
    change_config(path, calling("io.write_file", str(target), "owned"))
    with pytest.raises(ModelError, match="would run code") as caught:
        load(path)
    assert "'io.write_file'" in caught.value.evidence
    assert "'evil'" in caught.value.evidence
    assert "--allow-code" in caught.value.do
    assert not target.exists()
    with quiet(), pytest.raises(AttributeError, match="_keras_history"):  # the function gave no tensor, but was run
        keras2.models.load_model(path, compile=False)
    assert target.read_text() == "owned"


@pytest.mark.parametrize("suffix", ["h5", "keras"])
@pytest.mark.parametrize(
    "function",
    ["io.gfile.rmtree", "load_op_library", "py_function", "numpy_function", "io.read_file", "compat.v1.gfile.Remove"],
)
def test_functions_that_are_not_mathematics_are_refused(tmp_path, functional, suffix, function):
    victim = tmp_path / "victim"
    victim.mkdir()
    path = tmp_path / f"m.{suffix}"
    with quiet():
        functional.save(path)
    change_config(path, calling(function, str(victim)))
    with pytest.raises(ModelError, match="would run code") as caught:
        load(path)
    assert repr(function) in caught.value.evidence
    assert victim.is_dir()


EVIL = {
    "lambda": {"class_name": "Lambda", "config": {"name": "evil", "function": ["4wEA", None, None]}},
    "lambda by registered name": {"class_name": "Dense", "registered_name": "Lambda", "config": {"name": "evil"}},
    "marshalled cell wrapper": {
        "class_name": "ResidualWrapper",
        "config": {"cell": {"class_name": "GRUCell", "config": {"units": 2}}, "function_type": "lambda"},
    },
    "marshalled function": {"class_name": "Dense", "config": {"name": "evil", "function_type": "lambda"}},
    "vocabulary from any file": {"class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}},
    "raw graph node": {"class_name": "TensorFlowOpLayer", "config": {"node_def": "op: 'WriteFile'"}},
    "any method": {"class_name": "ClassMethod", "config": {"cls_symbol": "io.gfile.GFile", "method_name": "x"}},
    "any attribute": {"class_name": "InstanceProperty", "config": {"attr_name": "__class__"}},
    "saved model": {"class_name": "TFSMLayer", "module": "keras.layers", "config": {"filepath": "/tmp/x"}},
    "foreign module": {"class_name": "Dense", "module": "os", "config": {}},
    "builtin": {"class_name": "function", "module": "builtins", "config": "eval", "registered_name": "eval"},
    "builtin by the other name": {"class_name": "function", "module": "os", "config": "relu", "registered_name": "x"},
    "wrapped": {
        "class_name": "TimeDistributed",
        "config": {"layer": {"class_name": "Bidirectional", "config": {"layer": {"class_name": "Lambda"}}}},
    },
    "nested model": {
        "class_name": "Functional",
        "config": {"name": "inner", "layers": [{"class_name": "Lambda", "config": {"name": "evil"}}]},
    },
    "initialiser": {
        "class_name": "Dense",
        "config": {"kernel_initializer": {"class_name": "Evil", "module": "evil", "config": {}}},
    },
    "initialiser by string": {"class_name": "Dense", "config": {"kernel_initializer": "evil"}},
    "activation": {"class_name": "Dense", "config": {"activation": "deserialize"}},
    "class name that is no text": {"class_name": {"class_name": "__bytes__", "value": "Lambda"}, "config": {}},
    "class inside a node's arguments": {
        "class_name": "Add",
        "config": {},
        "inbound_nodes": [{"args": [{"class_name": "__typespec__", "config": []}]}],
    },
    "string of configuration": {"class_name": "Add", "inbound_nodes": [["_COMPOSITE_TYPE", "{}"]]},
    "nested compile": {"class_name": "Sequential", "compile_config": {"loss": {"class_name": "__lambda__"}}},
}


@pytest.mark.parametrize("suffix", ["h5", "keras"])
@pytest.mark.parametrize("kind", EVIL)
def test_every_kind_of_evil_layer_is_refused(tmp_path, plain, suffix, kind):
    path = tmp_path / f"m.{suffix}"
    with quiet():
        plain.save(path)
    change_config(path, lambda config: config["config"]["layers"].append(EVIL[kind]))
    with pytest.raises(ModelError, match="would run code"):
        load(path)


def test_a_very_deep_configuration_is_walked(plain):
    node = {"class_name": "Lambda"}
    for _ in range(5000):
        node = {"class_name": "TimeDistributed", "config": {"layer": node}}
    assert list(strangers.code_in(node)) == ["Lambda layer or object (layer '')"]


def test_what_is_inspected_is_what_is_loaded(tmp_path, keras2, functional):
    """An HDF5 file with an honest .keras archive at its end: Keras goes by the name and loads the HDF5 part."""
    path, honest, target = tmp_path / "m.h5", tmp_path / "m.keras", tmp_path / "pwned"
    with quiet():
        functional.save(path)
        functional.save(honest)
    change_config(path, calling("io.write_file", str(target), "owned"))
    with path.open("ab") as file:
        file.write(honest.read_bytes())
    assert zipfile.is_zipfile(path)
    with pytest.raises(ModelError, match="would run code"):
        load(path)
    assert not target.exists()


def test_weights_kept_in_other_files_are_refused(tmp_path, plain):
    import h5py

    secret = tmp_path / "secret"
    secret.write_bytes(np.zeros(2, np.float32).tobytes())
    for kind in ("external storage", "external link", "virtual"):
        path = tmp_path / f"{kind}.h5"
        with quiet():
            plain.save(path)
        with h5py.File(path, "a") as file:
            group = file["model_weights/head/head"]
            del group["bias:0"]
            if kind == "external storage":
                group.create_dataset("bias:0", (2,), "float32", external=[(str(secret), 0, 8)])
            elif kind == "external link":
                group["bias:0"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/bias")
            else:
                layout = h5py.VirtualLayout((2,), "float32")
                layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "bias", (2,), "float32")
                group.create_virtual_dataset("bias:0", layout)
        with pytest.raises(ModelError, match="from other files") as caught:
            load(path)
        assert "bias:0" in caught.value.evidence


def test_a_keras_archive_is_searched_for_links_and_assets(tmp_path, plain):
    import h5py

    path = tmp_path / "m.keras"
    with quiet():
        plain.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(members["model.weights.h5"])
    with h5py.File(weights, "a") as file:
        file["loop"] = file["/"]  # a circle of hard links must not be walked for ever
        file["link"] = h5py.ExternalLink("/other.h5", "/x")
    members |= {"model.weights.h5": weights.getvalue(), "assets/vocabulary.txt": b"x"}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ModelError, match="from other files") as caught:
        load(path)
    assert caught.value.evidence.splitlines() == ["ExternalLink /link", "member 'assets/vocabulary.txt'"]


# --- SavedModels ------------------------------------------------------------------------------------------


def export(tf, folder, body, **state):
    """A SavedModel whose signature does body(x) beside x + 1."""

    class Evil(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
        def __call__(self, x):
            with tf.control_dependencies([op for op in [body(x)] if op is not None]):
                return {"y": x + 1.0}

    module = Evil()
    for name, value in state.items():
        setattr(module, name, value)
    with quiet():
        tf.saved_model.save(module, str(folder), signatures=module.__call__)
    return folder


@pytest.mark.parametrize("kind", ["PrintV2", "SaveV2", "TextLineDataset", "EagerPyFunc", "WriteFile"])
def test_a_saved_model_that_reaches_outside_is_refused(tmp_path, tf, kind):
    target, readable = tmp_path / "pwned", tmp_path / "read"
    readable.write_text("secret\n")
    bodies = {
        "PrintV2": lambda x: tf.print("owned", output_stream=f"file://{target}"),
        "SaveV2": lambda x: tf.raw_ops.SaveV2(
            prefix=str(target), tensor_names=["x"], shape_and_slices=[""], tensors=[x]
        ),
        "TextLineDataset": lambda x: tf.data.TextLineDataset(str(readable)).reduce(0, lambda n, _: n + 1),
        "EagerPyFunc": lambda x: tf.py_function(lambda: target.write_text("owned"), [], tf.int32),
        "WriteFile": lambda x: tf.io.write_file(str(target), "owned"),
    }
    folder = export(tf, tmp_path / "m", bodies[kind])
    with pytest.raises(ModelError, match="reaches outside") as caught:
        load(folder)
    assert f"operator {kind}" in caught.value.evidence
    assert "--allow-code" in caught.value.do
    assert not list(tmp_path.glob("pwned*"))


def test_an_initialiser_that_runs_at_load_is_refused(tmp_path, tf):
    """tf.saved_model.load calls _initialize of every resource: no signature is needed. TensorFlow does run it."""
    from tensorflow.python.trackable.resource import TrackableResource

    target = tmp_path / "pwned"

    class Evil(TrackableResource):
        def _create_resource(self):
            return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[])

        def _initialize(self):
            tf.io.write_file(str(target), "owned")

    folder = export(tf, tmp_path / "m", lambda x: None, evil=Evil())
    target.unlink(missing_ok=True)
    with pytest.raises(ModelError, match="reaches outside") as caught:
        load(folder)
    assert "operator WriteFile" in caught.value.evidence
    assert not target.exists()
    with quiet():
        tf.saved_model.load(str(folder))
    assert target.read_text() == "owned"


def rewrite(folder, change):
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    proto = SavedModel()
    proto.ParseFromString((folder / "saved_model.pb").read_bytes())
    change(proto)
    (folder / "saved_model.pb").write_bytes(proto.SerializeToString())


def test_the_savers_functions_may_not_be_borrowed(tmp_path, tf):
    """SaveV2 stands in every SavedModel; a function that calls the saver's makes it reachable."""
    folder = export(tf, tmp_path / "m", lambda x: None, w=tf.Variable(1.0))
    load(folder)

    def borrow(proto):
        graph = proto.meta_graphs[0].graph_def
        (saving,) = [f for f in graph.library.function if any(n.op == "SaveV2" for n in f.node_def)]
        caller = next(f for f in graph.library.function if "signature_wrapper" in f.signature.name)
        node = caller.node_def.add(name="borrowed", op="StatefulPartitionedCall")
        node.attr["f"].func.name = saving.signature.name

    rewrite(folder, borrow)
    with pytest.raises(ModelError, match="reaches outside") as caught:
        load(folder)
    assert "operator SaveV2" in caught.value.evidence


def test_the_saver_may_not_name_a_signature(tmp_path, tf):
    """saver_def is the stranger's too: naming an evil node there buys nothing for what can be called."""
    folder = export(tf, tmp_path / "m", lambda x: None)

    def rename(proto):
        meta = proto.meta_graphs[0]
        evil = next(
            f for f in meta.graph_def.library.function if f.signature.name in meta.object_graph_def.concrete_functions
        )
        evil.node_def.add(name="evil", op="MergeV2Checkpoints")
        node = meta.graph_def.node.add(name="mine", op="StatefulPartitionedCall")
        node.attr["f"].func.name = evil.signature.name
        meta.saver_def.restore_op_name = "mine"

    rewrite(folder, rename)
    with pytest.raises(ModelError, match="reaches outside") as caught:
        load(folder)
    assert "MergeV2Checkpoints (evil)" in caught.value.evidence


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda proto: proto.meta_graphs.add(), "TensorFlow 1"),
        (lambda proto: proto.meta_graphs[0].ClearField("object_graph_def"), "TensorFlow 1"),
        (lambda proto: proto.meta_graphs[0].asset_file_def.add(filename="../../secret"), "asset"),
        (lambda proto: proto.meta_graphs[0].graph_def.node.add(name="n", op="Unheard"), "operator Unheard (n)"),
    ],
)
def test_parts_that_no_honest_export_has_are_refused(tmp_path, tf, change, found):
    folder = export(tf, tmp_path / "m", lambda x: None)
    rewrite(folder, change)
    with pytest.raises(ModelError, match="reaches outside") as caught:
        load(folder)
    assert found in caught.value.evidence


# --- honest files -----------------------------------------------------------------------------------------


def arithmetic(keras2):
    import tensorflow as tf

    inputs = keras2.Input((8, 8, 3))
    x = tf.nn.relu6(inputs + 3.0) * (1.0 / 6.0) * inputs
    x = tf.concat([1.0 - x, x[:, :, :, :1], tf.abs(x) ** 2.0], -1)
    x = tf.reshape(tf.transpose(x, (0, 2, 1, 3)), (-1, 64, 7))
    x = tf.math.l2_normalize(tf.reduce_mean(x, 1), -1)
    return keras2.Model(inputs, tf.nn.softmax(tf.cast(tf.clip_by_value(x, 0.0, 1.0), "float32")))


def recurrent(keras2):
    layers = keras2.layers
    cells = layers.RNN(layers.StackedRNNCells([layers.GRUCell(3), layers.LSTMCell(2)]))
    return keras2.Sequential(
        [
            keras2.Input((5, 3)),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.TimeDistributed(layers.Dense(2, activation="tanh")),
            cells,
        ]
    )


def attention(keras2):
    layers = keras2.layers
    inputs = keras2.Input((5, 4))
    x = layers.LayerNormalization()(inputs)
    x = layers.Add()([inputs, layers.MultiHeadAttention(2, 2)(x, x)])
    x = layers.Dense(4, activation=keras2.activations.gelu)(x)
    return keras2.Model(inputs, layers.GlobalAveragePooling1D()(layers.Attention()([x, x])))


def nested(keras2):
    layers = keras2.layers
    inner = keras2.Sequential(
        [
            keras2.Input((8, 8, 3)),
            layers.RandomFlip(),
            layers.Rescaling(1 / 255),
            layers.Conv2D(
                2,
                3,
                kernel_regularizer=keras2.regularizers.L1L2(1e-4),
                kernel_constraint=keras2.constraints.MaxNorm(2),
                kernel_initializer=keras2.initializers.VarianceScaling(),
            ),
            layers.PReLU(),
        ]
    )
    inner.compile("adam", "mse", metrics=["mae"])
    inputs = keras2.Input((8, 8, 3))
    return keras2.Model(inputs, layers.Flatten()(layers.BatchNormalization()(inner(inputs))))


HONEST = [arithmetic, recurrent, attention, nested]


@pytest.mark.parametrize("name", ["m.h5", "m.keras", "m"])
@pytest.mark.parametrize("make", HONEST, ids=lambda make: make.__name__)
def test_honest_models_load_and_answer_the_same(tmp_path, keras2, make, name):
    with quiet():
        model = make(keras2)
        model.compile("adam", "mse")
        model.save(tmp_path / name, **({} if "." in name else {"save_format": "tf"}))
    x = np.random.default_rng(0).uniform(0, 1, (2, *model.input_shape[1:])).astype(np.float32)
    np.testing.assert_allclose(predict(load(tmp_path / name), x), predict(model, x), atol=1e-5)


@pytest.mark.parametrize(("zoo", "name"), [("mobilenet", "m.h5"), ("mobilenet_v2", "m.keras")])
def test_the_zoo_loads(tmp_path, zoo, name):
    with quiet():
        model = build(ModelSource(name=zoo, input=(32, 32, 3)), 3)
        model.save(tmp_path / name)
    assert load(tmp_path / name).count_params() == model.count_params()


@pytest.mark.parametrize("name", ["MobileNetV3Small", "EfficientNetB0", "ResNet50V2"])
def test_architectures_of_applications_are_no_code(keras2, name):
    """Both forms of configuration; loading them takes too long here, and MobileNetV3 is loaded below."""
    with quiet():
        model = getattr(keras2.applications, name)(weights=None, classes=3, input_shape=(32, 32, 3))
        configs = [json.loads(model.to_json()), keras2.saving.serialize_keras_object(model)]
    assert [list(strangers.code_in(config)) for config in configs] == [[], []]


@pytest.mark.parametrize("name", ["m.h5", "m.keras"])
def test_mobilenet_v3_with_its_arithmetic_loads(tmp_path, keras2, name):
    with quiet():
        model = keras2.applications.MobileNetV3Small((32, 32, 3), alpha=0.75, weights=None, classes=3)
        model.save(tmp_path / name)
    assert load(tmp_path / name).count_params() == model.count_params()


def test_a_trained_saved_model_without_its_training_loads(tmp_path, keras2, small_model):
    with quiet():
        small_model.save(tmp_path / "with", save_format="tf")
        small_model.save(tmp_path / "without", save_format="tf", include_optimizer=False)
        small_model.export(tmp_path / "exported")
    x = np.random.default_rng(0).uniform(-1, 1, (4, 12, 12, 3)).astype(np.float32)
    for name in ("with", "without", "exported"):
        np.testing.assert_allclose(predict(load(tmp_path / name), x), predict(small_model, x), atol=1e-6)


def test_wrappers_of_tf_mot_are_no_code(keras2, plain):
    import tensorflow_model_optimization as tfmot
    from tf_keras.saving import serialize_keras_object

    with quiet():
        wrapped = [
            tfmot.sparsity.keras.prune_low_magnitude(plain),
            tfmot.quantization.keras.quantize_model(plain),
            tfmot.clustering.keras.cluster_weights(plain, 2, tfmot.clustering.keras.CentroidInitialization.LINEAR),
        ]
        configs = [serialize_keras_object(model) for model in wrapped]
    assert [list(strangers.code_in(config)) for config in configs] == [[], [], []]


def test_configurations_of_keras_3_are_understood(tmp_path):
    """Written by Keras 3 itself: layers of its own form, and operations (x + y) as layers."""
    import os

    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with quiet():
        import keras

        inputs = keras.Input((8, 8, 3))
        x = keras.layers.Conv2D(4, 3, activation="relu6", kernel_regularizer="l2")(inputs)
        x = keras.ops.relu(x + 1.0) * (1.0 - x) / 6.0
        x = keras.layers.TimeDistributed(keras.layers.Dense(2, activation=keras.activations.silu))(x[:, 1:])
        keras.Model(inputs, keras.ops.mean(x, axis=(1, 2))).save(tmp_path / "m.keras")
        evil = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x, name="evil")])
        evil.save(tmp_path / "evil.keras")
    for name in ("m", "evil"):
        path = tmp_path / f"{name}.keras"
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
        if name == "m":
            strangers.refuse_keras_file(path, config, allow_code=False)
        else:
            with pytest.raises(ModelError, match="would run code") as caught:
                strangers.refuse_keras_file(path, config, allow_code=False)
            assert "Lambda" in caught.value.evidence
            strangers.refuse_keras_file(path, config, allow_code=True)
