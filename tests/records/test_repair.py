"""Settings of a repair: what goes together, how they are said, and when a ladder is asked for."""

import pytest

from tflite_edge.flatbuffer.equalize import GOALS as KNOWN
from tflite_edge.records.conversion import QUANTIZERS, Conversion
from tflite_edge.records.errors import RecipeError
from tflite_edge.records.recipe import recipe_for
from tflite_edge.records.repair import GOALS, OTHERS, Repair


def test_unknown_values_name_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'weights'"):
        Repair(equalize="weight")
    with pytest.raises(RecipeError, match="unknown ranges"):
        Repair(ranges="98")
    with pytest.raises(RecipeError, match="goes with nothing else"):
        Repair(qat_epochs=2, correct=True)
    with pytest.raises(RecipeError, match="quantizer goes with nothing else"):
        Repair(quantizer="litert", ranges="mse")
    with pytest.raises(RecipeError, match="goes with nothing else"):
        Repair(quantizer="litert", qat_epochs=2)
    assert set(GOALS) == {"", *KNOWN}
    assert {*OTHERS, "converter"} == {"", *QUANTIZERS}


def test_only_a_plain_int8_file_can_be_repaired():
    assert Conversion("int8", repair=Repair(correct=True)).repair.correct
    for mode in ("float32", "int16x8"):
        with pytest.raises(RecipeError, match=f"{mode} cannot be repaired"):
            Conversion(mode, repair=Repair(correct=True))


def test_no_other_quantiser_makes_a_repaired_file(tmp_path):
    with pytest.raises(RecipeError, match="does not go together with repair"):
        Conversion("int8", quantizer="litert", repair=Repair(correct=True))
    path = tmp_path / "r.toml"
    path.write_text('[model]\nname = "mobilenet"\n[convert]\nquantizer = "litert"\n[repair]\nranges = "mse"\n')
    with pytest.raises(RecipeError, match=r"\[repair\] and the litert quantizer"):
        recipe_for(str(path))
    path.write_text('[model]\nname = "mobilenet"\n[convert]\nquantizer = "litert"\n[repair]\n')
    assert recipe_for(str(path)).repair.is_plain


@pytest.mark.parametrize(
    ("table", "message"), [("[convert]\nper_tensor = true", "per_tensor"), ('[data]\ntask = "anomaly"', "task anomaly")]
)
def test_training_is_refused_where_the_step_is(tmp_path, table, message):
    path = tmp_path / "r.toml"
    path.write_text(f'[model]\nname = "mobilenet"\n{table}\n[repair]\nqat_epochs = 2\n')
    with pytest.raises(RecipeError, match=rf"qat_epochs in \[repair\] and {message}"):
        recipe_for(str(path))


def test_settings_are_said_in_words():
    assert str(Repair()) == "the plain converter"
    said = str(Repair(samples=1000, equalize="weights", correct=True, ranges="mse", spare=("a", "b")))
    assert str(Repair(quantizer="litert")) == "LiteRT Quantizer"
    assert said == "1000 samples, weights evened out, biases corrected, ranges mse, 2 in float"


def test_a_drop_that_is_typed_asks_for_repairs_and_one_that_is_the_default_does_not(tmp_path):
    assert not recipe_for("mobilenet").convert.repair
    assert recipe_for("mobilenet", {"gates.max_drop": 0.5}).convert.repair
    assert not recipe_for("mobilenet", {"gates.max_drop": 0.5, "convert.repair": False}).convert.repair
    path = tmp_path / "r.toml"
    path.write_text('[model]\nname = "mobilenet"\n[gates]\nmax_drop = 1.0\n[repair]\nranges = "mse"\n')
    assert not recipe_for(str(path)).convert.repair
    assert recipe_for(str(path)).repair == Repair(ranges="mse")


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [({"gates.max_drop": 0.5}, True), ({"convert.repair": True}, True), ({"convert.repair": False}, False)],
)
def test_who_types_a_drop_wants_the_ladder_and_not_what_an_earlier_one_came_to(tmp_path, typed, wanted):
    path = tmp_path / "r.toml"
    path.write_text('[model]\nname = "mobilenet"\n[convert]\nrepair = true\n[repair]\nranges = "mse"\n')
    recipe = recipe_for(str(path), typed)
    assert (recipe.repair, recipe.convert.repair) == (None, wanted)
    assert recipe_for(str(path), {"convert.io": "uint8"}).repair == Repair(ranges="mse")
