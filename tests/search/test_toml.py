"""A recipe as TOML is read back as the same recipe."""

from dataclasses import replace
from pathlib import Path

import pytest

from tflite_edge.records.recipe import DataSource, ModelSource, Recipe, read_recipe, with_changes
from tflite_edge.records.verdict import Gates
from tflite_edge.search.toml import recipe_text

MODELS = Path(__file__).parents[2] / "models"


def again(recipe, tmp_path, head="a head\n\nof lines"):
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_text(recipe, head))
    return read_recipe(str(path))


@pytest.mark.parametrize("name", sorted(path.name for path in MODELS.glob("*.toml")))
def test_the_project_s_recipes(name, tmp_path):
    recipe = read_recipe(str(MODELS / name))
    assert again(recipe, tmp_path) == recipe


def test_what_is_awkward_to_write(tmp_path):
    recipe = Recipe(ModelSource("mobilenet", input=(32, 32, 1), alpha=0.1875), gates=Gates(max_drop=float("inf")))
    changes = {"optimize": [{"step": "prune", "layers": ['a "b"', "c\\d"], "ends": True}], "target.deadline_s": 1e-7}
    recipe = replace(with_changes(recipe, changes))
    assert again(recipe, tmp_path) == recipe
    odd = Recipe(ModelSource(file=str(tmp_path / 'm "1" é.h5')), replace(recipe.data, source=str(tmp_path / "d\n")))
    assert again(odd, tmp_path) == odd


@pytest.mark.parametrize("name", ["a\x7fb.h5", "a\x07b.h5", "a\u2028b.h5", "a\tb\n.h5", "a\x1bb.h5"])
def test_a_name_with_control_characters_also_in_the_head(tmp_path, name):
    recipe = Recipe(ModelSource(file=str(tmp_path / name)), DataSource("digits"))
    assert again(recipe, tmp_path, head=f"a search over {recipe.name}") == recipe
