"""How an archive and its signature appear: both at once, or what was there before stays."""

from functools import partial

import pytest

from tests.flatbuffer import tiny
from tests.flatbuffer.tiny import Op, T
from tflite_edge.deploy import archive, sign
from tflite_edge.deploy.accelerator import placed
from tflite_edge.deploy.package import package, publish
from tflite_edge.records.errors import MissingError, ModelError, UsageError

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


def test_an_unknown_target_is_answered_in_lines_that_a_terminal_holds(tmp_path):
    with pytest.raises(UsageError) as refused:
        package(tmp_path, "nope", tmp_path / "out")
    assert "coral-usb[@BOARD]" in refused.value.evidence
    assert max(map(len, str(refused.value).splitlines())) <= 100
    with pytest.raises(UsageError, match="did you mean 'pi4'"):
        package(tmp_path, "pi44", tmp_path / "out")


def test_why_nothing_runs_on_an_accelerator_is_said_in_such_lines(tmp_path):
    x, y = "x" * 70, "y" * 70  # of which 60 letters are shown
    (tmp_path / "float.tflite").write_bytes(tiny.build([T(x), T(y)], [Op("TANH", (x,), (y,))], (x,), (y,)))
    with pytest.raises(ModelError, match="nothing of float") as refused:
        placed(tmp_path / "float.tflite", "coral-usb", accept_degraded=False)
    assert "x" * 60 in refused.value.evidence
    assert max(map(len, refused.value.evidence.splitlines())) <= 98
