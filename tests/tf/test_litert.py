"""LiteRT Quantizer beside the converter: the same frozen model, the same calibration samples, both runtimes."""

import os
from dataclasses import replace

import numpy as np
import pytest

from tflite_edge.flatbuffer import check, inspect
from tflite_edge.flatbuffer.rules import look
from tflite_edge.flatbuffer.rules.contract import contract
from tflite_edge.flatbuffer.rules.runtimes import find
from tflite_edge.proof import prove
from tflite_edge.records.conversion import SCHEMES, Conversion, for_runtime
from tflite_edge.records.errors import DataError, MissingError, ModelError, RecipeError, TargetError
from tflite_edge.records.job import Job
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import recipe_for
from tflite_edge.records.verdict import Gates
from tflite_edge.targets.local import Local
from tflite_edge.tf.convert import litert

RUNTIMES = ("ai-edge-litert", "tflite-runtime")


def by_litert(mode, io="float32", **others):
    return Conversion(mode, io, quantizer="litert", **others)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mode": "float32"}, "float32 is not quantised"),
        ({"mode": "float16", "sparse": True}, "does not go together with sparse"),
        ({"mode": "int8", "flex": True, "trainable": True}, "flex and trainable"),
        ({"mode": "int8", "quantizer": "aeq"}, "unknown quantizer"),
    ],
)
def test_what_litert_cannot_do_is_refused_where_it_is_asked(changes, says):
    with pytest.raises(RecipeError, match=says):
        Conversion(**{"quantizer": "litert", **changes})


def test_a_recipe_has_one_quantizer_for_all_that_is_quantised():
    recipe = recipe_for("mobilenet", {"convert.quantize": ("float32", "int8"), "convert.quantizer": "litert"})
    made = recipe.convert.conversions(original=True)
    assert [one.label for one in made] == ["original float32", "original int8 by litert", "float32", "int8 by litert"]
    with pytest.raises(RecipeError, match="qat and the litert quantizer"):
        replace(recipe, optimize=({"step": "qat"},))


def test_a_missing_extra_is_said_with_its_command(monkeypatch):
    monkeypatch.setattr(litert, "PACKAGE", "no-such-package")
    with pytest.raises(MissingError) as caught:
        litert.require()
    assert caught.value.exit_code == 4
    assert "pip install litert-quantizer" in caught.value.do


@pytest.mark.slow
@pytest.mark.parametrize(
    "conversion",
    [
        by_litert("float16"),
        by_litert("dynamic"),
        by_litert("int8", "int8"),
        by_litert("int8", "uint8"),
        by_litert("int8"),
        by_litert("int16x8"),
        by_litert("int16x8", "int16"),
        by_litert("float16", bake=True),
        by_litert("dynamic", bake=True),
        by_litert("int8", "uint8", bake=True),
    ],
    ids=lambda c: f"{c.mode}-{c.io}{'-baked' if c.bake else ''}",
)
def test_the_bytes_keep_every_promise_on_both_runtimes(conversion, variants, source, tmp_path):
    pack = source.write_pack(tmp_path / "pack.npz")
    for runtime in RUNTIMES:
        fitted, _ = for_runtime(conversion, runtime)
        path = variants.make(fitted)
        facts = inspect(path)
        assert facts.scheme == SCHEMES[conversion.mode]
        assert check(facts, fitted) == []
        assert [(s.key, s.inputs, s.outputs) for s in facts.signatures] == [
            ("serving_default", ("image",), ("probabilities",))
        ]
        fed = Preprocess(channels=3) if conversion.bake else source.data.preprocess
        score = Local().score(Job("score", str(path), runtime, pack=str(pack), preprocess=fed))
        assert score.agreement >= 0.9
        assert score.max_difference < 0.3


@pytest.mark.slow
def test_one_scale_for_each_kernel_where_it_is_asked_for(variants):
    made = Conversion("int8", quantizer="litert", per_tensor=True)
    facts = inspect(variants.make(made))
    assert (facts.weights.per_channel, check(facts, made)) == (0, [])
    assert inspect(variants.make(replace(made, per_tensor=False))).weights.per_channel


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["dynamic", "int8", "int16x8", "float16"])
def test_side_by_side_with_the_converter(mode, variants, source, tmp_path):
    """Two files, told apart by the cache, of equal weights and answers that differ by the calibration alone."""
    pack = source.write_pack(tmp_path / "pack.npz")
    made = [variants.make(Conversion(mode, quantizer=quantizer)) for quantizer in ("converter", "litert")]
    assert made[0] != made[1]
    assert made[0].read_bytes() != made[1].read_bytes()
    ours, theirs = (inspect(path) for path in made)
    assert ours.scheme == theirs.scheme
    scores = [
        Local().score(Job("score", str(path), "ai-edge-litert", pack=str(pack), preprocess=source.data.preprocess))
        for path in made
    ]
    assert abs(scores[0].top1 - scores[1].top1) <= 0.05


@pytest.mark.slow
def test_per_channel_dynamic_is_garbage_on_tflite_runtime_and_the_proof_says_so(variants, source, tmp_path):
    """It loads: LiteRT Quantizer writes version 1 of every operator, where the converter's 12 would be refused."""
    conversion = by_litert("dynamic")
    packs = source.write_packs(tmp_path, conversion)
    recipe = recipe_for(
        source.recipe.model.file, {"data.source": source.recipe.data.source, "target.runtime": "tflite-runtime"}
    )
    recipe = replace(recipe, gates=Gates(max_drop=5.0))
    made = variants.make(conversion)
    proven = prove(made, conversion, packs, source.data.preprocess, recipe, machine=Local())
    assert proven.verdict == "degraded"
    assert proven.score.top1 < 0.6
    assert "litert" in proven.file
    assert proven.quantizer == "litert"
    (warned,) = contract(look(str(made)), find("tflite-runtime==2.14")[0])
    assert "2 dense layers load on tflite-runtime 2.14.0 and answer wrongly there" in warned.what
    assert "--runtime tflite-runtime==2.14.0" in warned.do
    assert contract(look(str(made)), find("ai-edge-litert==2.3")[0]) == []
    fitted, why = for_runtime(conversion, "tflite-runtime")
    assert "one scale" in why
    assert contract(look(str(variants.make(fitted))), find("tflite-runtime==2.14")[0]) == []
    mended = prove(variants.make(fitted), fitted, packs, source.data.preprocess, recipe, machine=Local())
    assert mended.verdict == "ok"


@pytest.mark.slow
def test_what_goes_wrong_in_the_child_is_an_error_of_ours(variants, source, monkeypatch):
    whole = variants.make(Conversion("float32")).read_bytes()
    samples = source.data.calibration.x
    with pytest.raises(DataError, match="calibration samples"):
        litert.quantize(whole, by_litert("int8", "int8"), samples[:0])
    with pytest.raises(ModelError, match="starts from a float file"):
        litert.quantize(variants.make(Conversion("int8")).read_bytes(), by_litert("int8"), samples)
    with pytest.raises(TargetError, match=r"did not finish int8 within 0\.01 s"):
        litert.quantize(whole, by_litert("int8"), samples, deadline_s=0.01)
    with pytest.raises(ModelError, match="cannot quantise this model to int8") as caught:
        litert.quantize(whole, by_litert("int8"), samples[:, :5])
    assert "Traceback" not in caught.value.evidence
    monkeypatch.setattr(litert, "rules", lambda conversion: [])
    with pytest.raises(ModelError, match="without a quantization recipe"):
        litert.quantize(whole, by_litert("dynamic"))


@pytest.mark.slow
def test_a_package_that_cannot_be_imported_is_missing(variants, monkeypatch, tmp_path):
    (tmp_path / "litert_quantizer.py").write_text("raise ImportError('no ml_dtypes here')")
    before = [path for path in (os.environ.get("PYTHONPATH"),) if path]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *before]))
    with pytest.raises(MissingError, match="cannot be imported") as caught:
        litert.quantize(variants.make(Conversion("float32")).read_bytes(), by_litert("dynamic"))
    assert "no ml_dtypes here" in caught.value.evidence


@pytest.mark.slow
def test_the_same_samples_make_the_same_bytes(variants, source):
    whole, samples = variants.make(Conversion("float32")).read_bytes(), source.data.calibration.x
    one, other = (litert.quantize(whole, by_litert("int8", "int8"), samples) for _ in range(2))
    assert one == other
    assert np.ptp(samples) > 1


@pytest.mark.slow
def test_the_command_names_who_quantised(edge, model_file, image_folder, tmp_path):
    document = edge.json(
        "convert", model_file, "--data", image_folder, "--quantize", "float32,int8", "--quantizer", "litert",
        "--max-drop", "10", "-o", tmp_path / "out",
    )  # fmt: skip
    assert [(model["quantizer"], model["file"]) for model in document["models"]] == [
        ("converter", "small-float.tflite"),
        ("litert", "small-static-wi8ai8-litert.tflite"),
    ]
    assert document["versions"]["litert-quantizer"]
    assert document["recipe"]["convert"]["quantizer"] == "litert"
