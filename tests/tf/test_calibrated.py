"""TensorFlow's quantiser with ranges that were measured elsewhere, through real runtimes."""

import numpy as np
import pytest

from tflite_edge.flatbuffer import check, inspect
from tflite_edge.flatbuffer.edit import dump, load
from tflite_edge.flatbuffer.network import Network
from tflite_edge.records.conversion import Conversion
from tflite_edge.records.errors import ModelError
from tflite_edge.records.job import Job
from tflite_edge.records.repair import Repair
from tflite_edge.targets.local import Local
from tflite_edge.tf.convert.calibrated import quantize_calibrated
from tflite_edge.tf.convert.convert import convert
from tflite_edge.tf.convert.freeze import freeze

pytestmark = pytest.mark.slow
X = np.random.default_rng(0).uniform(-1, 1, (40, 12, 12, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(small_model, tmp_path_factory):
    """float.tflite, plain.tflite (int8 by the converter) and a pack of X."""
    folder = tmp_path_factory.mktemp("calibrated")
    frozen = freeze(small_model, folder / "frozen")
    (folder / "float.tflite").write_bytes(convert(frozen, Conversion("float32")))
    (folder / "plain.tflite").write_bytes(convert(frozen, Conversion("int8", "int8"), X))
    np.savez(folder / "x.npz", x=X)
    return folder


@pytest.fixture(scope="module")
def calibrated(folder):
    """The float file with what each of its tensors reached on X."""
    tree = load(folder / "float.tflite")
    network = Network(tree)
    job = Job(
        "activations", str(folder / "float.tflite"), "ai-edge-litert", kernels="builtin", pack=str(folder / "x.npz"),
        tensors=network.computed(), outputs=str(folder / "held.npz"),
    )  # fmt: skip
    Local().run(job)
    with np.load(folder / "held.npz") as held:
        network.calibrate({tensor: tuple(map(float, held[f"{tensor}.ends"])) for tensor in network.computed()})
    return dump(tree)


def answers(folder, content, runtime):
    path = folder / "made.tflite"
    path.write_bytes(content)
    out = folder / "answers.npy"
    Local().score(Job("score", str(path), runtime, pack=str(folder / "x.npz"), outputs=str(out)))
    return np.load(out)


@pytest.mark.parametrize("runtime", ["ai-edge-litert", "tflite-runtime"])
def test_measured_ranges_make_the_file_that_the_converter_makes(folder, calibrated, runtime):
    ours = answers(folder, quantize_calibrated(calibrated, Conversion("int8", "int8")), runtime)
    plain = answers(folder, (folder / "plain.tflite").read_bytes(), runtime)
    assert np.mean(ours.argmax(1) == plain.argmax(1)) >= 0.95
    assert np.abs(ours - plain).mean() < 0.01


@pytest.mark.parametrize("io", ["int8", "uint8", "float32"])
def test_edges_and_spared_operators_are_as_asked(folder, calibrated, io):
    whole = Conversion("int8", io)
    assert check(inspect(quantize_calibrated(calibrated, whole)), whole) == []
    network = Network(load(folder / "float.tflite"))
    (depthwise,) = (op for op in network.ops if op.name == "DEPTHWISE_CONV_2D")
    spared = Conversion("int8", io, repair=Repair(spare=(network.name(depthwise.outputs[0]),)))
    content = quantize_calibrated(calibrated, spared)
    facts = inspect(content)
    assert facts.scheme == "mixed-wi8ai8"
    assert [op.name for op in facts.float_operators if op.name.endswith("CONV_2D")] == ["DEPTHWISE_CONV_2D"]
    assert check(facts, spared) == []
    assert any("compute in float" in finding.what for finding in check(facts, whole))
    for runtime in ("ai-edge-litert", "tflite-runtime"):
        assert answers(folder, content, runtime).shape == (40, 4)


def test_one_scale_for_dense_weights(calibrated):
    per_tensor = inspect(quantize_calibrated(calibrated, Conversion("int8", "int8", dense_per_tensor=True)))
    per_channel = inspect(quantize_calibrated(calibrated, Conversion("int8", "int8")))
    assert per_channel.weights.per_channel - per_tensor.weights.per_channel == 2


def test_what_tensorflow_refuses_is_a_model_error():
    with pytest.raises(ModelError, match="cannot quantise"):
        quantize_calibrated(b"no flatbuffer at all", Conversion("int8", "int8"))


def test_one_scale_for_every_kernel(folder, calibrated, small_model):
    asked = Conversion("int8", "int8", per_tensor=True)
    converted = convert(freeze(small_model, folder / "again"), asked, X)
    for content in (quantize_calibrated(calibrated, asked), converted):
        facts = inspect(content)
        assert facts.weights.per_channel == 0
        assert check(facts, asked) == []
    (finding,) = check(inspect(folder / "plain.tflite"), asked)
    assert finding.what.startswith("asked for one scale for each kernel")
