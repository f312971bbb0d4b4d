"""What `convert` left is packed only as it was left: its files by their hashes, its labels one for each output."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.flatbuffer import tiny
from tests.flatbuffer.tiny import Op, T
from tests.search.made import BASE, outcome
from tflite_edge.artifact import sha256
from tflite_edge.deploy.build import open_build
from tflite_edge.records.errors import ModelError
from tflite_edge.records.manifest import Manifest
from tflite_edge.records.plain import from_plain, to_plain


@pytest.fixture
def made(tmp_path):
    """A folder with a model of four outputs, and a function that writes its manifest with these labels."""
    model, samples = tmp_path / "model.tflite", tmp_path / "samples.npz"
    model.write_bytes(tiny.build([T("x"), T("y")], [Op("TANH", ("x",), ("y",))]))
    np.savez(samples, x=np.zeros((2, 4), np.float32))
    manifest = from_plain(Manifest, json.loads(outcome(BASE).files["manifest.json"]))
    variant = replace(manifest.models[0], sha256=sha256(model))

    def write(labels):
        source = replace(manifest.source, labels=list(labels))
        whole = replace(manifest, source=source, models=[variant], samples_sha256=sha256(samples))
        (tmp_path / "manifest.json").write_text(json.dumps(to_plain(whole)))

    write("abcd")
    return tmp_path, write


@pytest.mark.parametrize("labels", ["abc", "abcde", ""])
def test_there_is_a_label_for_each_output(made, labels):
    folder, write = made
    assert open_build(folder).manifest.source.labels == ["a", "b", "c", "d"]
    write(labels)
    with pytest.raises(ModelError, match=f"tells 4 classes, and manifest.json has {len(labels)} labels"):
        open_build(folder)


def test_labels_that_somebody_wrote_into_labels_txt_are_not_passed_over(made):
    folder, _ = made
    (folder / "labels.txt").write_text("a\nb\nc\nd\n")
    open_build(folder)
    (folder / "labels.txt").write_text("a\nb\nd\nc\n")
    with pytest.raises(ModelError, match=r"labels\.txt has other labels"):
        open_build(folder)


@pytest.mark.parametrize("damage", ["gone", "other bytes"])
def test_samples_that_are_not_the_ones_of_convert_are_refused(made, damage):
    folder, _ = made
    if damage == "gone":
        (folder / "samples.npz").unlink()
    else:
        (folder / "samples.npz").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"samples\.npz is not what was converted"):
        open_build(folder).expected(1, "ai-edge-litert")
