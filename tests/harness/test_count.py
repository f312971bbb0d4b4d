"""Counting where nothing counts, and what is read of the counter's file."""

import pytest

from tests.harness import tiny
from tflite_edge.harness.count import read_counts
from tflite_edge.records.errors import MissingError, RecipeError
from tflite_edge.records.job import Job
from tflite_edge.targets.local import Local


def test_a_machine_without_a_counter_says_so(tmp_path):
    model = tmp_path / "dense.tflite"
    model.write_bytes(tiny.dense())
    with pytest.raises(MissingError, match="nothing counts") as caught:
        Local().run(Job("count", str(model), runs=2, counts=str(tmp_path / "none")))
    assert "emulator:pi4" in caught.value.do


def test_counts_are_read_by_class(tmp_path):
    path = tmp_path / "counts"
    path.write_text("alu load\n1 2\n5 9\n")
    assert read_counts(str(path), 2) == (["alu", "load"], [[1, 2], [5, 9]])


@pytest.mark.parametrize("text", ["", "alu load\n1 2\n", "alu load\n1 2\n3\n", "alu\n1\nx\n", "alu\n1\n2\n3\n"])
def test_a_file_of_another_form_is_refused(tmp_path, text):
    path = tmp_path / "counts"
    path.write_text(text)
    with pytest.raises(MissingError, match="nothing counts"):
        read_counts(str(path), 2)


@pytest.mark.parametrize("wrong", [{"counts": None}, {"threads": 2}, {"kernels": "fast"}])
def test_a_count_that_cannot_be_is_refused(wrong):
    with pytest.raises(RecipeError):
        Job(**{"verb": "count", "model": "m.tflite", "counts": "c", **wrong})
