"""The test samples of a model that came with a manifest."""

import json

import numpy as np

from tests.report import made
from tflite_edge.flatbuffer import inspect
from tflite_edge.samples import samples_of
from tflite_edge.tf.data.dataset import split
from tflite_edge.tf.data.sources import open_source


def test_they_are_the_same_without_the_representative_dataset(tmp_path):
    """Who evaluates a model need not have what it was calibrated with."""
    folder, manifest = made.folder(tmp_path)
    pool = open_source(str(tmp_path / "pack.npz"))
    document = json.loads((folder / "manifest.json").read_text())
    document["source"]["data_sha256"] = pool.sha256
    document["recipe"]["data"] |= {"source": "../pack.npz", "representative": "gone.npz"}
    (folder / "manifest.json").write_text(json.dumps(document))
    path = folder / manifest.models[1].file
    found = samples_of(path, inspect(path))
    wanted = split(pool, manifest.recipe.data, manifest.preprocess).test
    assert 0 < found.available == len(wanted) < len(pool.samples)
    np.testing.assert_array_equal(found.x, wanted.raw)
