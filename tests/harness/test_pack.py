"""What a pack may hold, and which images a model takes."""

import numpy as np
import pytest

from tflite_edge.harness.pack import check_images, load_pack
from tflite_edge.records.errors import DataError

X = np.zeros((3, 2, 2, 1), np.uint8)


def save(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def test_all_three_arrays_or_only_x(tmp_path):
    pack = load_pack(save(tmp_path / "a.npz", x=X, y=np.arange(3), reference=np.zeros((3, 10), np.float32)))
    assert pack.x.shape == (3, 2, 2, 1)
    assert pack.y.tolist() == [0, 1, 2]
    assert load_pack(save(tmp_path / "b.npz", x=X))[1:] == (None, None, None, False)
    assert load_pack(save(tmp_path / "c.npz", x=X, task="anomaly")).anomaly


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"images": X}, "not a pack"),
        ({"x": X[:0]}, "empty"),
        ({"x": X, "y": np.arange(2)}, "x holds 3 images and y has shape"),
        ({"x": X, "reference": np.float32(1)}, "x holds 3 images and reference has shape"),
        ({"x": X, "y": np.array(["a", "b", "c"])}, "y holds <U1"),
        ({"x": np.full((3, 2), np.nan, np.float32)}, "x contains NaN"),
        ({"x": np.array([{}, {}, {}])}, "not a pack"),  # a pickle
    ],
)
def test_bad_packs_are_refused(tmp_path, arrays, says):
    with pytest.raises(DataError, match=says):
        load_pack(save(tmp_path / "p.npz", **arrays))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 truncated"])
def test_files_that_are_no_packs_are_refused(tmp_path, content):
    path = tmp_path / "p.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a pack"):
        load_pack(str(path))
    with pytest.raises(DataError, match="not a pack"):
        load_pack(str(tmp_path / "none.npz"))


def test_packs_with_changed_bytes_are_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(4000, dtype=np.uint8).reshape(1000, 2, 2))
    whole = (tmp_path / "a.npz").read_bytes()
    start = 30 + len("x.npy") + int.from_bytes(whole[28:30], "little")  # past the entry's name and extra field
    reserved = whole[:start] + b"\xff" + whole[start + 1 :]  # block type 3: zlib.error
    entry = whole.index(b"PK\x01\x02")
    unknown_method = whole[: entry + 10] + b"\x63" + whole[entry + 11 :]  # compression method 99: NotImplementedError
    encrypted = whole[: entry + 8] + b"\x01" + whole[entry + 9 :]  # general purpose bit 0: RuntimeError
    np.savez(tmp_path / "b.npz", x=X)
    torn_header = (tmp_path / "b.npz").read_bytes().replace(b"(3, 2, 2, 1)", b"(3, 2, 2, 1 ")
    for content in (reserved, unknown_method, encrypted, torn_header):
        (tmp_path / "b.npz").write_bytes(content)
        with pytest.raises(DataError, match="not a pack"):
            load_pack(str(tmp_path / "b.npz"))


def test_the_shapes_of_both_sides_are_named():
    check_images(X, [{"name": "x", "shape": np.array([1, 2, 2, 1])}], "p.npz")
    with pytest.raises(DataError) as caught:
        check_images(X, [{"name": "x", "shape": np.array([1, 4, 4, 1])}], "p.npz")
    assert "[3, 2, 2, 1]" in caught.value.evidence
    assert "[1, 4, 4, 1]" in caught.value.evidence


def test_batches_and_several_inputs_are_refused():
    with pytest.raises(DataError, match="batches of 8"):
        check_images(X, [{"name": "x", "shape": np.array([8, 2, 2, 1])}], "p.npz")
    with pytest.raises(DataError, match="takes 2 inputs"):
        check_images(X, [{"name": "a", "shape": np.array([1, 2])}, {"name": "b", "shape": np.array([1, 2])}], "p.npz")
