"""A search from its beginning: what a study is of, and what it is called."""

from dataclasses import replace

import numpy as np

from tests.search.made import BASE
from tflite_edge.records.recipe import DataSource, ModelSource, Recipe
from tflite_edge.records.search import Budget
from tflite_edge.search.engine import Plan
from tflite_edge.search.space import space_of
from tflite_edge.search.study import identity, study_name


def of(recipe, folder):
    budget = Budget()
    return identity(space_of(recipe, budget, images=True), Plan(budget, folder), "data")


def changed(recipe, folder, path, write):
    """The keys of the identity that differ after `path` was written anew."""
    before = of(recipe, folder)
    write(path)
    after = of(recipe, folder)
    return [key for key in after if after[key] != before[key]]


def test_a_file_with_another_content_is_another_study(tmp_path):
    model, teacher, own = tmp_path / "m.h5", tmp_path / "t.h5", tmp_path / "own.npz"
    for path in (model, teacher):
        path.write_bytes(b"one")
    pack(own, 0.0)
    recipe = Recipe(
        ModelSource(file=str(model)),
        DataSource("digits", representative=str(own)),
        optimize=({"step": "distill", "teacher": str(teacher)},),
    )
    two = lambda path: path.write_bytes(b"two")  # noqa: E731
    assert changed(recipe, tmp_path, model, two) == ["model.file, its content"]
    assert changed(recipe, tmp_path, teacher, two) == [f"teacher {teacher}"]
    assert changed(recipe, tmp_path, own, lambda path: pack(path, 1.0)) == ["data.representative, its content"]


def pack(path, value):
    np.savez(path, x=np.full((4, 8, 8, 1), value, np.float32))


def test_the_versions_of_what_makes_and_runs_files_decide(tmp_path):
    assert {"tensorflow", "tensorflow-model-optimization", "ai-edge-litert", "numpy"} <= set(of(BASE, tmp_path))
    assert "litert-quantizer" not in of(BASE, tmp_path)  # it makes nothing there: it may come and go
    quantized = replace(BASE, convert=replace(BASE.convert, quantizer="litert"))
    assert "litert-quantizer" in of(quantized, tmp_path)


def test_a_folder_has_one_study_and_a_database_one_for_each_folder(tmp_path):
    plan = Plan(Budget(), tmp_path / "a" / "search")
    assert study_name(plan) == study_name(replace(plan, out=tmp_path / "b" / "search"))
    stored = replace(plan, storage="sqlite:///x.db")
    assert study_name(stored) != study_name(replace(stored, out=tmp_path / "b" / "search"))
    assert study_name(stored) == study_name(replace(stored, out=tmp_path / "a" / ".." / "a" / "search"))
