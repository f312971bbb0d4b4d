"""Every conversion mode, read back from its bytes."""

import numpy as np
import pytest

from tflite_edge.artifact import cache_folder
from tflite_edge.flatbuffer import check, inspect
from tflite_edge.records.conversion import SCHEMES, Conversion
from tflite_edge.records.errors import DataError, ModelError
from tflite_edge.records.job import Job
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.targets.local import Local
from tflite_edge.tf.convert.convert import convert
from tflite_edge.tf.convert.freeze import freeze
from tflite_edge.tf.quiet import quiet

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "conversion",
    [
        Conversion("float32"),
        Conversion("float16"),
        Conversion("dynamic"),
        Conversion("int8", "int8"),
        Conversion("int8", "uint8"),
        Conversion("int8", "float32"),
        Conversion("int16x8", "float32"),
        Conversion("int16x8", "int16"),
        Conversion("float32", bake=True),
        Conversion("float16", bake=True),
        Conversion("dynamic", bake=True),
        Conversion("int8", "uint8", bake=True),
        Conversion("int8", "int8", bake=True),
        Conversion("int16x8", "float32", bake=True),
    ],
    ids=lambda c: f"{c.mode}-{c.io}{'-baked' if c.bake else ''}",
)
def test_the_bytes_keep_every_promise_and_the_answers_stay(conversion, variants, source, tmp_path):
    path = variants.make(conversion)
    facts = inspect(path)
    assert facts.scheme == SCHEMES[conversion.mode]
    assert check(facts, conversion) == []
    assert [(s.key, s.inputs, s.outputs) for s in facts.signatures] == [
        ("serving_default", ("image",), ("probabilities",))
    ]
    assert facts.inputs[0].shape == (1, 12, 12, 3)
    assert not facts.dynamic_shapes

    raw = source.write_pack(tmp_path / "pack.npz")
    fed = Preprocess(channels=3) if conversion.bake else source.data.preprocess
    score = Local().score(Job("score", str(path), pack=str(raw), preprocess=fed))
    assert score.agreement >= 0.9
    assert score.max_difference < (1e-4 if conversion.mode == "float32" else 0.3)


def test_conversion_is_reproducible_to_the_byte(variants, tmp_path, monkeypatch):
    conversion = Conversion("int8", "int8")
    first = variants.make(conversion)
    monkeypatch.setenv("TFLITE_EDGE_CACHE", str(tmp_path))
    again = variants.make(conversion)
    assert first != again
    assert first.read_bytes() == again.read_bytes()


def test_a_variant_is_made_once(variants, monkeypatch):
    first = variants.make(Conversion("int8", "int8"))
    monkeypatch.setattr("tflite_edge.tf.convert.variants.quantize", None)
    assert variants.make(Conversion("int8", "int8")) == first
    assert first.is_relative_to(cache_folder())
    monkeypatch.setattr("tflite_edge.tf.convert.variants._code", lambda: "changed")
    with pytest.raises(TypeError):  # other code makes it anew
        variants.make(Conversion("int8", "int8"))


def test_baked_bytes_equal_normalised_bytes(variants, source, tmp_path):
    pack = source.write_pack(tmp_path / "pack.npz")
    outputs = []
    for bake in (False, True):
        path, file = variants.make(Conversion("float32", bake=bake)), tmp_path / f"{bake}.npy"
        fed = Preprocess(channels=3) if bake else source.data.preprocess
        Local().score(Job("score", str(path), pack=str(pack), preprocess=fed, outputs=str(file)))
        outputs.append(np.load(file))
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-6)


def test_an_empty_representative_dataset_is_refused(small_model, tmp_path):
    frozen = freeze(small_model, tmp_path / "frozen")
    for nothing in (None, np.zeros((0, 12, 12, 3), np.float32)):
        with pytest.raises(DataError, match="calibration samples"):
            convert(frozen, Conversion("int8", "int8"), nothing)


@pytest.fixture(scope="module")
def flex_model(tmp_path_factory):
    """A SavedModel with an operator for which TFLite has no builtin."""
    with quiet():
        import tensorflow as tf

        class Inverse(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
            def __call__(self, x):
                return {"y": tf.linalg.inv(tf.reshape(x[:1], [1, 2, 2]))}

        module, folder = Inverse(), tmp_path_factory.mktemp("flex")
        tf.saved_model.save(module, str(folder), signatures=module.__call__)
    return folder


def test_flex_is_refused_by_name_unless_asked_for(flex_model):
    with pytest.raises(ModelError) as caught:
        convert(flex_model, Conversion("float32"))
    assert "MatrixInverse" in str(caught.value)
    assert "--flex" in caught.value.do
    facts = inspect(convert(flex_model, Conversion("float32", flex=True)))
    assert facts.flex == ("FlexMatrixInverse",)
    assert check(facts, Conversion("float32", flex=True)) == []
    assert "FlexMatrixInverse" in check(facts, Conversion("float32"))[0].evidence
