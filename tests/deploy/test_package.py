"""How an archive and its signature appear: both at once, or what was there before stays."""

from functools import partial

import pytest

from tflite_edge.deploy import archive, sign
from tflite_edge.deploy.package import publish
from tflite_edge.records.errors import MissingError, UsageError

pytest.importorskip("cryptography")
pack = partial(archive.pack, {"model.tflite": b"one"})


@pytest.fixture
def keys(tmp_path):
    return sign.keygen(tmp_path / "key")


def test_a_second_one_that_fails_leaves_the_first_and_its_signature(keys, tmp_path):
    place, _ = publish(tmp_path / "dist" / "net-pi4.tar.gz", pack, keys[0])

    def fails(path):
        pack(path)
        raise UsageError("no maintainer")

    with pytest.raises(UsageError):
        publish(place, fails, keys[0])
    assert sign.verify(place, keys[1]).comment.startswith("file:net-pi4.tar.gz")
    assert set(archive.contents(place)) == {"model.tflite", archive.SUMS}
    assert {path.name for path in place.parent.iterdir()} == {place.name, f"{place.name}.minisig"}


def test_one_without_a_key_takes_the_signature_of_other_bytes_away(keys, tmp_path):
    place, signature = publish(tmp_path / "net.tar.gz", pack, keys[0])
    assert signature.is_file()
    assert publish(place, pack, None) == (place, None)
    assert not signature.exists()


def test_a_place_that_cannot_be_written_is_named(keys, tmp_path):
    (tmp_path / "afile").write_text("")
    (tmp_path / "net.tar.gz.minisig").mkdir()
    for place, says in (
        (tmp_path / "afile" / "net.tar.gz", "a file is in the way"),
        (tmp_path / "net.tar.gz", "minisig: a folder is in the way"),
        (tmp_path / f"{'n' * 260}.tar.gz", "the name is too long"),
    ):
        with pytest.raises(MissingError, match=says):
            publish(place, pack, keys[0])
    assert not (tmp_path / "net.tar.gz").exists()
