"""Files that are made by the settings of a repair, for real, from a small trained model."""

import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tflite_edge.artifact import uses
from tflite_edge.records.errors import ModelError
from tflite_edge.records.event import silent
from tflite_edge.records.recipe import recipe_for
from tflite_edge.records.repair import Repair
from tflite_edge.targets import open_machine
from tflite_edge.workshop import Workshop

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def opened(model_file, image_folder):
    """Opens a workshop for the small model with these changes of the recipe."""

    @contextmanager
    def opened(repair=None, work=None, **changes):
        from tflite_edge.tf.convert.variants import Variants
        from tflite_edge.tf.source import open_model

        asked = {"data.source": str(image_folder), "data.normalize": "-1..1", "convert.quantize": ("int8",), **changes}
        recipe = replace(recipe_for(str(model_file), asked), repair=repair)
        source = open_model(recipe, silent)
        (conversion,) = recipe.convert.conversions()
        with Variants(source) as variants:
            packs = source.write_packs(work, conversion) if work else None
            yield Workshop(variants, conversion, recipe, packs, open_machine("local"), silent)

    return opened


@pytest.fixture(scope="module")
def representative(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "own.npz"
    np.savez(path, x=np.random.default_rng(0).integers(0, 255, (20, 12, 12, 3), dtype=np.uint8))
    return str(path)


def test_other_training_samples_are_another_file(opened, representative, tmp_path, monkeypatch):
    """With a representative dataset the seed decides nothing but which training samples are drawn beside it."""
    asked = Repair(samples=40, ranges="minmax")

    def made(seed):
        with opened(**{"data.representative": representative, "data.seed": seed}) as workshop:
            return workshop.make(asked).read_bytes()

    first, second = made(7), made(8)
    assert first != second
    monkeypatch.setenv("TFLITE_EDGE_CACHE", str(tmp_path))
    assert made(8) == second


def test_an_operator_in_float_keeps_its_bias(opened):
    """A layer whose weights nobody rounds has nothing to correct: with all in float the answers are those of float."""
    from tflite_edge.flatbuffer.edit import load
    from tflite_edge.flatbuffer.network import KERNELS, Network

    with opened() as workshop:
        network = Network(load(workshop.variants.float_twin(workshop.conversion)))
        layers = [op for op in network.ops if op.name in KERNELS]
        spare = tuple(network.name(op.outputs[0]) for op in layers)
        made = Network(load(workshop.make(Repair(correct=True, ranges="minmax", spare=spare))))
    biases = {tuple(made.bias(op)) for op in made.ops if op.name in KERNELS}
    assert biases == {tuple(network.bias(op)) for op in layers}


def test_advised_samples_are_the_same_whatever_is_measured_on(opened):
    """The set needs no redrawing here, and the recipe says so all the same, as another run found it."""
    asked = Repair(advice="redraw", ranges="minmax")

    def made(samples):
        with opened(asked, **{"target.samples": samples}) as workshop:
            return workshop.make(asked).read_bytes()

    assert made(10) == made(30)


def test_a_name_to_spare_that_no_operator_has_is_refused(opened):
    from tflite_edge.flatbuffer.edit import load
    from tflite_edge.flatbuffer.network import Network

    with opened() as workshop:
        network = Network(load(workshop.variants.float_twin(workshop.conversion)))
        name = network.name(network.ops[0].outputs[0])
        with pytest.raises(ModelError, match="no operator of this model makes") as refused:
            workshop.make(Repair(spare=(name + "x",)))
    assert name in refused.value.do


@pytest.mark.parametrize("name", ["workshop.py", "harness/activations.py", "harness/layers.py", "tf/data/dataset.py"])
def test_other_code_that_decides_bytes_is_another_key(name, tmp_path, monkeypatch):
    from tflite_edge.tf.convert import variants

    house = tmp_path / "house"
    shutil.copytree(Path(variants.__file__).parents[2], house, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(variants, "__file__", str(house / "tf" / "convert" / "variants.py"))
    before = variants._code.__wrapped__()
    assert before == variants._code()
    with (house / name).open("a") as file:
        file.write("# changed")
    assert variants._code.__wrapped__() != before


def test_another_version_scores_anew(opened, tmp_path, monkeypatch):
    with opened(work=tmp_path) as workshop:
        made = workshop.make(Repair())
        first = workshop.score(made)
        monkeypatch.setattr("tflite_edge.workshop.__version__", "another")
        before = uses["made"]
        assert workshop.score(made).relative_error == first.relative_error
    assert uses["made"] == before + 1
