import json
from pathlib import Path

import pytest

from tflite_edge.records.errors import RecipeError, UsageError
from tflite_edge.records.plain import to_plain
from tflite_edge.records.recipe import NAMED_DATA, Convert, read_recipe, recipe_for


def test_paths_in_a_recipe_are_relative_to_it(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "r.toml").write_text('[model]\nfile = "my.h5"\n[data]\nsource = "./photos"\n')
    recipe = read_recipe(str(tmp_path / "r.toml"))
    assert recipe.model.file == str(tmp_path / "my.h5")
    assert recipe.data.source == str(tmp_path / "photos")
    assert recipe.name == "my"


@pytest.mark.parametrize(
    ("teacher", "found"),
    [
        ("t.h5", "{}/t.h5"),
        ("saved", "{}/saved"),
        ("resnet8", "resnet8"),  # of the zoo, although a folder of that name is there
        ("./resnet8", "{}/resnet8"),
        ("resnet9", "resnet9"),  # is nowhere: to be refused as a misspelt name
    ],
)
def test_a_teacher_in_a_recipe_is_beside_it_and_one_of_the_zoo_is_nowhere(tmp_path, teacher, found):
    (tmp_path / "saved").mkdir()
    (tmp_path / "resnet8").mkdir()
    text = f'[model]\nname = "mobilenet"\n[[optimize]]\nstep = "distill"\nteacher = "{teacher}"\n'
    (tmp_path / "r.toml").write_text(text)
    assert read_recipe(str(tmp_path / "r.toml")).steps[0].teacher == found.format(tmp_path)


def test_a_typed_teacher_is_in_the_manifest_as_a_path_from_there(tmp_path, monkeypatch):
    """A SavedModel folder without a suffix: only that it is there tells that it is a path."""
    from tflite_edge.artifact import _portable

    (tmp_path / "work" / "saved").mkdir(parents=True)
    (tmp_path / "work" / "resnet8").mkdir()
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for teacher, found in (("saved", str(tmp_path / "work" / "saved")), ("resnet8", "resnet8")):
        typed = recipe_for("mobilenet", {"optimize": f"distill={teacher}"})
        manifest = tmp_path / "out" / "manifest.json"
        manifest.write_text(json.dumps({"recipe": to_plain(_portable(typed, tmp_path / "out"))}))
        monkeypatch.chdir("/")
        assert read_recipe(str(manifest)).steps[0].teacher == found
        monkeypatch.chdir(tmp_path / "work")


def test_data_without_a_slash_are_beside_the_recipe_too(tmp_path, monkeypatch):
    (tmp_path / "elsewhere" / "images").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "images").mkdir()
    (tmp_path / "r.toml").write_text('[model]\nname = "mobilenet"\n[data]\nsource = "images"\n')
    assert read_recipe(str(tmp_path / "r.toml")).data.source == str(tmp_path / "images")
    (tmp_path / "images").rmdir()
    assert read_recipe(str(tmp_path / "r.toml")).data.source == str(tmp_path / "images")


@pytest.mark.parametrize("name", NAMED_DATA)
def test_named_data_are_no_paths(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / "r.toml").write_text(f'[model]\nname = "mobilenet"\n[data]\nsource = "{name}"\n')
    assert read_recipe(str(tmp_path / "r.toml")).data.source == name


@pytest.mark.parametrize("text", ["[model", "\xff", "model = 1 2"])
def test_broken_toml_is_named(tmp_path, text):
    path = tmp_path / "r.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RecipeError, match="not valid TOML"):
        read_recipe(str(path))


@pytest.mark.parametrize("text", ["", "[]", '{"recipe": 3}', "{}"])
def test_json_that_is_no_manifest_is_named(tmp_path, text):
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(RecipeError):
        read_recipe(str(path))


def test_a_missing_recipe_is_named():
    with pytest.raises(RecipeError, match="cannot read the recipe"):
        recipe_for("nowhere.toml")


def test_changes_are_laid_over_the_recipe():
    recipe = recipe_for("mobilenet", {"convert.io": "uint8", "data.source": None, "gates.max_drop": 3.0})
    assert (recipe.convert.io, recipe.data.source, recipe.gates.max_drop) == ("uint8", "digits", 3.0)


@pytest.mark.parametrize(
    ("changes", "message", "do"),
    [
        ({"train.epoch": 3}, "unknown key 'epoch' in [train]", "did you mean 'epochs'?"),
        ({"trian.epochs": 3}, "unknown key 'trian'", "did you mean 'train'?"),
        ({"train.epochs": "3"}, "train.epochs must be a whole number", "such as 16"),
        ({"convert.quantize": "int8"}, "convert.quantize must be a list", 'quantize = ["int8"]'),
        ({"convert.quantize": ("int9",)}, "unknown quantisation 'int9'", "did you mean 'int8'?"),
        ({"epochs": 3}, "'epochs' cannot be changed", '"table.key", such as "train.epochs", or "optimize"'),
        (
            {"optimize.prune": 0.5},
            "'optimize.prune' cannot be changed",
            '"table.key", such as "train.epochs", or "optimize"',
        ),
        ({"optimize": 3}, "optimize must be a list", "one [[optimize]] table, in double brackets, for each"),
    ],
)
def test_changes_are_as_strict_as_a_recipe(changes, message, do):
    with pytest.raises(UsageError) as caught:
        recipe_for("mobilenet", changes)
    assert (caught.value.what, caught.value.do) == (message, do)


def test_data_may_be_given_as_a_path():
    for model in ("mobilenet", "my.h5"):
        assert recipe_for(model, {"data.source": Path("photos")}).data.source == "photos"


def test_steps_may_be_given_as_tables():
    typed = recipe_for("mobilenet", {"optimize": "prune=0.7,qat"})
    assert recipe_for("mobilenet", {"optimize": [{"step": "prune", "sparsity": 0.7}, {"step": "qat"}]}) == typed


def test_an_anomaly_detector_is_neither_baked_nor_optimised(tmp_path):
    with pytest.raises(UsageError, match="bake and task anomaly do not go together"):
        recipe_for("autoencoder", {"data.task": "anomaly", "convert.bake": True})
    path = tmp_path / "r.toml"
    path.write_text('[model]\nname = "autoencoder"\n[data]\ntask = "anomaly"\n[[optimize]]\nstep = "prune"\n')
    with pytest.raises(RecipeError, match="steps and task anomaly do not go together") as refused:
        read_recipe(str(path))
    assert "--optimize none" in refused.value.do
    with pytest.raises(UsageError, match="unknown task") as caught:
        recipe_for("autoencoder", {"data.task": "anomalie"})
    assert caught.value.do == "did you mean 'anomaly'?"


def test_what_is_typed_is_judged_as_a_whole_in_any_order(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text('[model]\nname = "mobilenet"\n[convert]\nquantize = ["float32"]\n')
    typed = {"optimize": "qat", "convert.quantize": ("int8",), "data.test": 0.7, "data.calibration": 0.05}
    for changes in (typed, dict(reversed(typed.items()))):
        recipe = recipe_for(str(path), changes)
        assert [step.name for step in recipe.steps] == ["qat"]
        assert recipe.data.test == 0.7


@pytest.mark.parametrize("modes", [("float16",), ("float32", "int16x8")])
def test_qat_without_an_int8_file_is_refused(modes, tmp_path):
    with pytest.raises(UsageError, match="qat trains for int8, and no int8 file is asked for"):
        recipe_for("mobilenet", {"convert.quantize": modes, "optimize": "prune,qat"})
    path = tmp_path / "r.toml"
    path.write_text('[model]\nname = "mobilenet"\n[[optimize]]\nstep = "qat"\n[convert]\nquantize = ["float32"]\n')
    with pytest.raises(RecipeError, match="no int8 file") as caught:
        read_recipe(str(path))
    assert caught.value.do == "add int8 to quantize, or --optimize none"


@pytest.mark.parametrize("line", ["max_drop = nan", "min_agreement = nan"])
def test_a_gate_that_is_no_number_would_let_everything_pass_and_is_refused(line, tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(f'[model]\nname = "mobilenet"\n[gates]\n{line}\n')
    with pytest.raises(RecipeError, match="must be a number, not nan"):
        read_recipe(str(path))
    with pytest.raises(UsageError, match="must be a number"):
        recipe_for("mobilenet", {"gates.max_drop": float("nan")})


@pytest.mark.parametrize("line", ["learning_rate = nan", "learning_rate = inf", "augment = nan", "epochs = 0"])
@pytest.mark.parametrize("table", ["train", "tune"])
def test_a_training_that_could_only_diverge_is_refused(table, line, tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(f'[model]\nname = "mobilenet"\n[{table}]\n{line}\n')
    with pytest.raises(RecipeError, match="learning_rate > 0") as caught:
        read_recipe(str(path))
    assert line in caught.value.evidence


def test_only_int8_takes_the_io_type():
    conversions = Convert(("float32", "int8", "int16x8"), io="uint8").conversions()
    assert [conversion.io for conversion in conversions] == ["float32", "uint8", "float32"]


def test_sparse_storage_is_for_the_modes_that_can_and_not_for_the_original():
    made = Convert(("float32", "float16", "int8"), sparse=True).conversions(original=True)
    assert [(c.mode, c.original, c.sparse) for c in made] == [
        ("float32", True, False), ("int8", True, False),
        ("float32", False, True), ("float16", False, True), ("int8", False, True),
    ]  # fmt: skip
    for mode in ("dynamic", "int16x8"):
        with pytest.raises(UsageError, match=f"{mode} kernels cannot be stored sparsely") as caught:
            recipe_for("mobilenet", {"convert.quantize": ("float32", mode), "convert.sparse": True})
        assert "ai-edge-litert" in caught.value.evidence
        assert caught.value.do == "sparse with float32, float16, int8"
