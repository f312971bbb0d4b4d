"""The space: what is varied of which recipe, and that every point of it is a recipe."""

import pytest

from tests.search.made import BASE
from tflite_edge.records.recipe import Convert, DataSource, ModelSource, Recipe, with_changes
from tflite_edge.records.search import Budget
from tflite_edge.search.space import space_of


def zoo(budget=None, recipe=BASE, **known):
    return space_of(recipe, budget or Budget(), **{"images": True, "width": 1.0, "smallest": 32, **known})


def test_a_zoo_model_varies_in_width_and_size_and_all_say_why_not_the_rest():
    space = zoo()
    assert space.words == {
        "alpha": "1, 0.75, 0.5",
        "input": "64x64x1, 48x48x1, 32x32x1",
        "channels": "0, 0.25, 0.5, 0.75",
        "distill": "no, yes",
        "scheme": "int8, int8+qat, int16x8, dynamic, float16",
        "prune": "not searched: zeros make no file smaller that is neither gzipped (--compressed) nor sparse",
        "cluster": "not searched: shared values make no file smaller that is not gzipped (--compressed)",
        "threads": "not searched: no latency is a goal",
    }
    assert {"prune", "cluster"} <= {axis.name for axis in zoo(Budget(compressed=True)).axes}
    assert "threads" in {axis.name for axis in zoo(Budget(latency_on="ssh://pi")).axes}


def test_a_file_of_ones_own_has_its_shape():
    recipe = Recipe(ModelSource(file="/x/my.h5"), DataSource("/x/photos"))
    space = space_of(recipe, Budget(), images=True)
    assert [axis.name for axis in space.axes] == ["channels", "distill", "scheme"]
    assert space.words["alpha"] == "not searched: my is a file of your own, and has the shape that it has"
    assert space.changes(space.largest | {"distill": True})["optimize"] == [{"step": "distill", "teacher": "/x/my.h5"}]


@pytest.mark.parametrize(
    ("recipe", "known", "axis", "why"),
    [
        (Recipe(ModelSource("mobilenet", weights="imagenet", input=(64, 64, 3))), {}, "alpha", "ImageNet"),
        (Recipe(ModelSource("resnet8", input=(32, 32, 1))), {"width": None}, "alpha", "no width multiplier"),
        (Recipe(ModelSource("ds_cnn", input=(49, 10, 1))), {"width": None}, "input", "no square image"),
        (Recipe(ModelSource("mobilenet", input=(32, 32, 1), alpha=0.5)), {"width": 0.25}, "distill", "narrower"),
        (
            Recipe(ModelSource("autoencoder"), DataSource("a.npz", task="anomaly")),
            {"width": None},
            "channels",
            "anomaly",
        ),
    ],
)
def test_what_cannot_be_varied_is_said(recipe, known, axis, why):
    assert why in zoo(recipe=recipe, **known).left_out[axis]


def test_predictions_know_two_kinds_and_sparse_files_leave_out_two_modes():
    schemes = {axis.name: axis.values for axis in zoo(Budget(latency_on="pi4")).axes}["scheme"]
    assert schemes == ("int8", "int8+qat", "float32")
    sparse = Recipe(BASE.model, convert=Convert(("float32",), sparse=True))
    axes = {axis.name: axis.values for axis in zoo(recipe=sparse).axes}
    assert axes["scheme"] == ("int8", "int8+qat", "float16")
    assert "prune" in axes


@pytest.mark.parametrize("budget", [Budget(), Budget(compressed=True), Budget(latency_on="pi4")])
def test_every_point_is_a_recipe_and_no_two_are_the_same(budget):
    space = zoo(budget)
    points = list(space.all())
    recipes = [with_changes(BASE, space.changes(point, 3)) for point in points]
    assert len({str(recipe) for recipe in recipes}) == len(points)
    assert all(recipe.tune.epochs == 3 for recipe in recipes if recipe.steps)
    assert points[0] == space.largest
    assert space.smallest in points
    assert all(point in points for point in space.presets().values())
    assert next(iter(space.presets())) == "plain int8"


def test_a_tuned_point_is_tuned_shortly_first():
    space = zoo()
    assert space.rungs(space.largest) == (0,)
    assert space.rungs(space.largest | {"channels": 0.5}) == (2, 8)
    one = zoo(recipe=with_changes(BASE, {"tune.epochs": 1}))
    assert one.rungs(one.largest | {"channels": 0.5}) == (1,)


@pytest.mark.parametrize("convert", [Convert(("int8",), per_tensor=True), Convert(("int8",), quantizer="litert")])
def test_what_does_not_go_together_with_qat_is_not_searched_with_it(convert):
    space = zoo(recipe=Recipe(BASE.model, convert=convert))
    assert "do not go together" in space.words["int8+qat"]
    schemes = next(axis.values for axis in space.axes if axis.name == "scheme")
    assert "int8" in schemes
    assert "int8+qat" not in schemes
    for point in space.all():
        with_changes(space.recipe, space.changes(point))
