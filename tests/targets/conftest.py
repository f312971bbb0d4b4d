"""Tiny models on disk, and the runtimes to run them with."""

import importlib.util

import pytest

from tests.harness import tiny
from tflite_edge.records.job import RUNTIMES

INSTALLED = [name for name in RUNTIMES if importlib.util.find_spec(name.replace("-", "_"))]


@pytest.fixture(params=INSTALLED)
def runtime(request):
    return request.param


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A folder with one file for every tiny model."""
    folder = tmp_path_factory.mktemp("models")
    built = {
        "dense": tiny.dense(),
        "dense_int8": tiny.dense_int8(),
        "relu": tiny.unary("RELU"),
        "future_relu": tiny.unary("RELU", version=99),
        "sqrt": tiny.unary("SQRT", (1, 3)),
        "add": tiny.add(),
        "batch": tiny.unary("RELU", (4, 3)),
        "wild": tiny.wild_offset(tiny.dense()),
    }
    for name, content in built.items():
        (folder / f"{name}.tflite").write_bytes(content)
    return folder
