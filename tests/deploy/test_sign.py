"""Signatures in minisign's formats."""

import base64
import shutil
import stat

import pytest

from tflite_edge.deploy import archive
from tflite_edge.deploy.sign import SUFFIX, keygen, sign, verify
from tflite_edge.records.errors import BundleError, MissingError, UsageError

pytest.importorskip("cryptography")

# Made by minisign 0.11 (Debian 12): `minisign -GW`, then `minisign -Sm a.txt`.
PUBLIC = (
    "untrusted comment: minisign public key 2EB44CE71273BBBF\n"
    "RWS/u3MS50y0Ll1DkGnGNzgYvalf7H6j16ii46u41tntkKXQppfe1IHH\n"
)
SIGNED = (
    "untrusted comment: signature from minisign secret key\n"
    "RUS/u3MS50y0LrTOXodkbTW40J8Ac5wEb37TwLPrEB56RNzypBnhCsWhMWjiXWIGyikCR5SRe3PlMFF4zPKjX/I82k1XisCpbQk=\n"
    "trusted comment: tflite-edge test\thashed\n"
    "suP/OCdUoZbEf1sOE5s24qYT1K2GcR5dNgKJIgPOhWV2MkgK5gk8rEprtVU1SJXs4u1PSqBjmJJjm6XKFz15AA==\n"
)
TEXT = b"one file\n"


@pytest.fixture
def keys(tmp_path):
    return keygen(tmp_path / "key")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.tar.gz"
    path.write_bytes(b"the bundle" * 1000)
    return path


def test_what_is_signed_is_verified(keys, file):
    secret, public = keys
    sign(file, secret)
    signature = verify(file, public)
    assert signature.comment == "file:net.tar.gz\thashed"
    assert signature.key_id in public.read_text().splitlines()[0]
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_the_same_file_and_key_give_the_same_signature(keys, file):
    assert sign(file, keys[0]).read_bytes() == sign(file, keys[0]).read_bytes()


def test_a_changed_file_and_a_changed_comment_are_refused(keys, file):
    beside = sign(file, keys[0])
    content, lines = file.read_bytes(), beside.read_text()
    file.write_bytes(content + b"x")
    with pytest.raises(BundleError, match="not what was signed"):
        verify(file, keys[1])
    file.write_bytes(content)
    beside.write_text(lines.replace("file:net", "file:nut"))
    with pytest.raises(BundleError, match="not what was signed"):
        verify(file, keys[1])


def test_another_key_an_unsigned_file_and_no_key_are_named(keys, file, tmp_path):
    with pytest.raises(BundleError, match="is not signed"):
        verify(file, keys[1])
    sign(file, keys[0])
    _, other = keygen(tmp_path / "other")
    with pytest.raises(BundleError, match="signed by another key"):
        verify(file, other)
    with pytest.raises(BundleError, match="not a minisign public key"):
        verify(file, keys[0])
    with pytest.raises(BundleError, match="not a minisign secret key"):
        sign(file, keys[1])
    with pytest.raises(BundleError, match="not a minisign secret key"):
        sign(file, tmp_path / "nowhere")


def test_a_key_is_never_written_over(keys):
    with pytest.raises(UsageError, match="there already"):
        keygen(keys[0])


def test_a_protected_and_a_damaged_key_are_refused(keys, file):
    head, line = keys[0].read_text().splitlines()
    body = base64.b64decode(line)
    for changed, says in ((body[:2] + b"Sc" + body[4:], "password"), (body[:-1] + b"\0\0"[:1], "damaged|checksum")):
        keys[0].write_text(f"{head}\n{base64.b64encode(changed).decode()}\n")
        with pytest.raises(BundleError, match=says):
            sign(file, keys[0])


def test_minisign_s_own_signature_is_accepted(tmp_path):
    (tmp_path / "a.txt").write_bytes(TEXT)
    (tmp_path / "a.txt.minisig").write_text(SIGNED)
    (tmp_path / "k.pub").write_text(PUBLIC)
    assert verify(tmp_path / "a.txt", tmp_path / "k.pub").comment.endswith("hashed")


def test_a_file_that_was_signed_under_another_name_is_refused(keys, edge, tmp_path):
    """A signature tells who made a bundle: one for another board, or of another model, is signed as well."""
    signed = archive.pack({"model.tflite": b"one"}, tmp_path / "net-pi4.tar.gz")
    beside = sign(signed, keys[0])
    renamed = tmp_path / "net-pi5.tar.gz"
    shutil.copy(signed, renamed)
    shutil.copy(beside, f"{renamed}{SUFFIX}")
    assert "trusted comment: file:net-pi4.tar.gz" in edge("verify", signed, "--key", keys[1]).stdout
    assert f"{renamed} was signed as net-pi4.tar.gz" in edge("verify", renamed, "--key", keys[1], code=3).stderr


def test_a_missing_bundle_and_a_place_that_cannot_be_written_are_named(keys, file, tmp_path):
    sign(file, keys[0])
    file.unlink()
    with pytest.raises(BundleError, match="there is no bundle"):
        verify(file, keys[1])
    (tmp_path / "afile").write_text("")
    with pytest.raises(MissingError, match="cannot write"):
        keygen(tmp_path / "afile" / "key")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="there already"):
        keygen(tmp_path / "dangling")


def test_several_bundles_are_proven_at_once(edge, tmp_path):
    """As `verify dist/*.tar.gz` names them; one that is not whole is the error."""
    made = [archive.pack({"model.tflite": name.encode()}, tmp_path / f"{name}.tar.gz") for name in ("one", "two")]
    told = edge.json("verify", *made)
    assert [bundle["bundle"] for bundle in told["bundles"]] == [str(path) for path in made]
    made[1].write_bytes(made[1].read_bytes()[:-40])
    assert "two.tar.gz" in edge("verify", *made, code=3).stderr
