"""Steps as they are typed and written: what cannot work whatever the model is refused when it is read."""

from pathlib import Path

import pytest

from tflite_edge.records.errors import RecipeError
from tflite_edge.records.plain import to_plain
from tflite_edge.records.step import Prune, parse_steps, steps_of

MODELS = Path(__file__).parents[2] / "models"
MOBILENET = str(MODELS / "mobilenet.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("qat,prune=0.5", "cannot run qat, prune in this order"),
        ("cluster=16,prune", "in this order"),
        ("prune,distill=t.h5", "in this order"),
        ("prune,prune", "twice"),
        ("prune=1.5", "sparsity must be in"),
        ("prune=-1", "sparsity must be in"),
        ("prune=1e-400", "sparsity must be in"),
        ("prune=abc", "sparsity must be a number"),
        ("prune=50%", "sparsity must be a number"),
        ("prune==0.5", "sparsity must be a number"),
        ("prune=", "prune= has no value"),
        ("cluster=1", "at least 2"),
        ("cluster=16.5", "clusters must be a whole number"),
        ("cluster=nan", "clusters must be a whole number"),
        ("channels=0", "above zero"),
        ("channels=1", "fraction must be in"),
        ("channels", "needs one goal"),
        ("prun=0.5", "did you mean 'prune'"),
        ("qat=3", "takes no value"),
        ("qat=", "takes no value"),
        ("distill", "needs a teacher"),
        ("distill=", "distill= has no value"),
        ("", "has no name in ''"),
        (",prune", "has no name in ',prune'"),
        ("prune,", "has no name"),
        ("=0.5", "has no name"),
    ],
)
def test_what_is_typed_is_refused_with_the_reason_and_the_fix(text, message):
    with pytest.raises(RecipeError) as caught:
        steps_of(parse_steps(text))
    assert message in str(caught.value)
    assert caught.value.do


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"step": "qat", "epochs": 0}, "at least one epoch"),
        ({"step": "qat", "layers": ["conv"]}, "unknown key 'layers'"),
        ({"step": "distill", "teacher": "t.h5", "layers": ["conv"]}, "unknown key 'layers'"),
        ({"step": "distill", "teacher": "t.h5", "temperature": float("nan")}, "temperature > 0"),
        ({"step": "distill", "teacher": "t.h5", "alpha": 0.0}, "alpha in"),
        ({"step": "prune", "epochs": -1}, "epochs >= 0"),
        ({"step": "prune", "learning_rate": float("nan")}, "learning_rate > 0"),
        ({"step": "prune", "learning_rate": float("inf")}, "learning_rate > 0"),
        ({"step": "prune", "sparsity": float("nan")}, "sparsity must be in"),
        ({"step": "prune", "pattern": "4:2"}, "keeps nothing or prunes nothing"),
        ({"step": "prune", "pattern": "a:b"}, "unknown pattern"),
        ({"step": "prune", "pattern": "2:4", "sparsity": 0.7}, "contradict each other"),
        ({"step": "prune", "pattern": "1:4", "sparsity": 0.5}, "contradict each other"),
        ({"step": "channels", "fraction": float("nan")}, "needs one goal"),
        ({"step": "channels", "fraction": 0.5, "macs": 100}, "needs one goal"),
        ({"step": "channels", "fraction": 0.5, "rounds": 0}, "rounds must be at least 1"),
        ({"step": "cluster", "centroids": "kmean"}, "did you mean 'kmeans++'"),
        ({"sparsity": 0.5}, "has no known step"),
    ],
)
def test_a_table_is_refused_with_the_reason_and_the_fix(table, message):
    with pytest.raises(RecipeError) as caught:
        steps_of([table])
    assert message in str(caught.value)
    assert caught.value.do


def test_the_sparsity_that_is_not_given_is_half_or_what_the_pattern_says():
    sparsities = {"unstructured": 0.5, "1x4": 0.5, "2:4": 0.5, "1:4": 0.25}
    for pattern, sparsity in sparsities.items():
        assert to_plain(Prune(pattern=pattern))["sparsity"] == sparsity
        assert Prune(pattern=pattern) == Prune(sparsity=sparsity, pattern=pattern)
    assert to_plain(Prune()) == {  # in the key of every pruned model in the cache
        "epochs": None, "learning_rate": None, "layers": [],
        "sparsity": 0.5, "pattern": "unstructured", "schedule": "polynomial", "ends": False,
    }  # fmt: skip


def test_what_is_typed_may_have_blanks_and_short_numbers():
    assert parse_steps("prune = .5 , cluster=8, distill=my=teacher.h5,qat") == (
        {"step": "prune", "sparsity": 0.5},
        {"step": "cluster", "clusters": 8},
        {"step": "distill", "teacher": "my=teacher.h5"},
        {"step": "qat"},
    )


def test_none_clears_the_steps_of_a_recipe():
    from tflite_edge.records.recipe import recipe_for

    assert recipe_for(MOBILENET).steps
    assert recipe_for(MOBILENET, {"optimize": "none"}).steps == ()


@pytest.mark.parametrize(
    "name", ["mobilenet", "mobilenet_v2", "mobilenet_v3_small", "squeezenet", "efficientnet_lite0", "resnet8"]
)
def test_the_small_models_are_compressed_by_default(name):
    from tflite_edge.records.recipe import recipe_for

    recipe = recipe_for(str(MODELS / f"{name}.toml"))
    assert [step.name for step in recipe.steps] == ["prune", "cluster", "qat"]
    assert "int8" in recipe.convert.quantize
