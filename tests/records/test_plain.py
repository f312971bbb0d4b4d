import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tflite_edge.records.errors import RecipeError
from tflite_edge.records.plain import from_plain, nearest, to_plain
from tflite_edge.records.recipe import DataSource, ModelSource, Recipe, Training


@settings(deadline=None)  # on a busy machine the first example takes long
@given(
    st.builds(
        Training,
        epochs=st.integers(1, 1000),
        batch=st.integers(1, 4096),
        learning_rate=st.floats(1e-6, 1),
        augment=st.floats(0, 2),
        seed=st.integers(0, 2**31),
    ),
    st.integers(1, 10_000),
)
def test_a_recipe_survives_the_round_trip(training, samples):
    recipe = Recipe(ModelSource("mobilenet", input=(32, 32, 3)), DataSource(calibration_samples=samples), training)
    assert from_plain(Recipe, to_plain(recipe)) == recipe


def test_an_unknown_key_names_the_nearest():
    with pytest.raises(RecipeError, match=r"unknown key 'calibration_sample' in .data.") as caught:
        from_plain(Recipe, {"model": {"name": "mobilenet"}, "data": {"calibration_sample": 3}})
    assert caught.value.do == "did you mean 'calibration_samples'?"
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"model": {"name": 3}}, "model.name must be a text"),
        ({"model": {"name": "mobilenet", "alpha": "wide"}}, "model.alpha must be a number"),
        ({"model": {"name": "mobilenet", "allow_code": 1}}, "model.allow_code must be true or false"),
        ({"model": []}, r"\[model\] must be a table"),
        ({}, "incomplete"),
        ({"model": {}}, "either a zoo name or a file"),
        ({"model": {"name": "a", "file": "b"}}, "either a zoo name or a file"),
        ({"model": {"name": "mobilenet", "alpha": 0}}, "alpha must be in"),
        ({"model": {"name": "mobilenet"}, "convert": {"quantize": ["int4"]}}, "unknown quantisation 'int4'"),
        ({"model": {"name": "mobilenet"}, "convert": {"quantize": []}}, "quantize is empty"),
        ({"model": {"name": "mobilenet"}, "convert": {"quantize": ["int8", "int8"]}}, "twice"),
        ({"model": {"name": "mobilenet"}, "convert": {"io": "int4"}}, "cannot have int4"),
        ({"model": {"name": "mobilenet"}, "data": {"calibration_samples": 0}}, "at least 1"),
        ({"model": {"name": "mobilenet"}, "data": {"test": 0.9, "calibration": 0.2}}, "shares"),
        ({"model": {"name": "mobilenet"}, "target": {"runtime": "tflite"}}, "unknown runtime"),
        ({"model": {"name": "mobilenet"}, "optimize": [{"step": "prun"}]}, "has no known step"),
        ({"model": {"name": "mobilenet"}, "optimize": [{"step": ["prune"]}]}, "has no known step"),
        ({"model": {"name": "mobilenet"}, "optimize": ["prune"]}, "optimize must be a table"),
        ({"model": {"name": "mobilenet"}, "optimize": {"step": "prune"}}, "optimize must be a list"),
    ],
)
def test_impossible_recipes_are_refused_with_the_reason(table, message):
    with pytest.raises(RecipeError, match=message):
        from_plain(Recipe, table)


@pytest.mark.parametrize(
    ("table", "do"),
    [
        ({"convert": {"quantize": "int8"}}, 'quantize = ["int8"]'),
        ({"optimize": {"step": "prune"}}, "one [[optimize]] table, in double brackets, for each"),
        ({"optimize": [{"step": "prune", "layers": "conv"}]}, 'layers = ["conv"]'),
        ({"optimize": [{"step": "prune", "sparsity": "0.5"}]}, "such as 0.5"),
        ({"optimize": [{"step": "cluster", "clusters": 16.5}]}, "such as 16"),
        ({"optimize": [{"step": "cluster", "per_channel": "yes"}]}, "such as true"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_how_it_is_written(table, do):
    with pytest.raises(RecipeError, match="must be") as caught:
        from_plain(Recipe, {"model": {"name": "mobilenet"}, **table})
    assert caught.value.do == do
    assert caught.value.evidence.startswith("got ")


def test_nearest_lists_what_exists_when_nothing_is_close():
    assert nearest("zzz", ["float32", "int8"]) == "known: float32, int8"
