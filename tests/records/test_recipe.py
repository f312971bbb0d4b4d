import pytest

from tflite_edge.records.errors import RecipeError
from tflite_edge.records.recipe import Convert, read_recipe, recipe_for


def test_paths_in_a_recipe_are_relative_to_it(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "r.toml").write_text('[model]\nfile = "my.h5"\n[data]\nsource = "./photos"\n')
    recipe = read_recipe(str(tmp_path / "r.toml"))
    assert recipe.model.file == str(tmp_path / "my.h5")
    assert recipe.data.source == str(tmp_path / "photos")
    assert recipe.name == "my"


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


def test_an_anomaly_detector_is_not_baked():
    with pytest.raises(RecipeError, match="do not go together"):
        recipe_for("autoencoder", {"data.task": "anomaly", "convert.bake": True})
    with pytest.raises(RecipeError, match="unknown task") as caught:
        recipe_for("autoencoder", {"data.task": "anomalie"})
    assert caught.value.do == "did you mean 'anomaly'?"


def test_only_int8_takes_the_io_type():
    conversions = Convert(("float32", "int8", "int16x8"), io="uint8").conversions()
    assert [conversion.io for conversion in conversions] == ["float32", "uint8", "float32"]
