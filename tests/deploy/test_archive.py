"""Bundles: the same bytes each time, proven by their sums, and none writes outside its folder."""

import gzip
import io
import lzma
import subprocess
import tarfile

import pytest

from tflite_edge.deploy import archive
from tflite_edge.records.errors import BundleError

FILES = {"install.sh": b"#!/bin/sh\n", "bin/classify": b"x", "model.tflite": bytes(range(256)) * 40}


@pytest.fixture
def bundle(tmp_path):
    return archive.pack(FILES, tmp_path / "net-pi4.tar.gz")


def test_the_same_files_give_the_same_bytes_whatever_their_order(tmp_path, bundle):
    (tmp_path / "other").mkdir()
    again = archive.pack(dict(reversed(FILES.items())), tmp_path / "other" / "net-pi4.tar.gz")
    assert again.read_bytes() == bundle.read_bytes()


def test_tar_unpacks_it_into_one_folder_that_no_machine_shows_through(tmp_path, bundle):
    subprocess.run(["tar", "xzf", bundle, "-C", tmp_path], check=True, timeout=60)
    place = tmp_path / "net-pi4"
    assert {p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()} == {*FILES, archive.SUMS}
    assert (place / "install.sh").stat().st_mode & 0o777 == 0o755
    assert (place / "model.tflite").stat().st_mode & 0o777 == 0o644
    subprocess.run(["sha256sum", "--quiet", "--check", archive.SUMS], cwd=place, check=True, timeout=60)
    with tarfile.open(bundle) as tar:
        assert {(member.uid, member.gid, member.mtime) for member in tar} == {(0, 0, 0)}


def made(tmp_path, *entries, top="net/"):
    """An archive of (name, content or TarInfo changes) as a stranger would make it, its sums right."""
    path = tmp_path / "evil.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content, changes in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            for key, value in changes.items():
                setattr(entry, key, value)
            tar.addfile(entry, io.BytesIO(content))
        listing = archive.sums({name.partition("/")[2]: content for name, content, _ in entries})
        entry = tarfile.TarInfo(f"{top}{archive.SUMS}")
        entry.size = len(listing)
        tar.addfile(entry, io.BytesIO(listing))
    return path


@pytest.mark.parametrize("name", ["../x", "net/../../x", "/etc/x", "net/a\\..\\x", "~/x", "x", ".ssh/x", "-x/y"])
def test_names_that_lead_outside_are_refused(tmp_path, name):
    with pytest.raises(BundleError, match="outside its folder"):
        archive.contents(made(tmp_path, (name, b"x", {})))


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_folders_links_and_devices_are_refused(tmp_path, kind):
    """Folders too: one may lie anywhere, and be everybody's."""
    evil = made(tmp_path, ("../x", b"", {"type": kind, "linkname": "/etc/passwd", "mode": 0o777}))
    with pytest.raises(BundleError, match="a folder, a link, a device"):
        archive.contents(evil)


@pytest.mark.parametrize("change", [{"mode": 0o4755}, {"mode": 0o666}, {"uid": 1000}])
def test_rights_that_no_bundle_gives_are_refused(tmp_path, change):
    with pytest.raises(BundleError, match="with mode"):
        archive.contents(made(tmp_path, ("net/x", b"x", change)))


def test_a_name_that_comes_twice_is_refused(tmp_path):
    with pytest.raises(BundleError, match="twice"):
        archive.contents(made(tmp_path, ("net/x", b"1", {}), ("net/x", b"2", {})))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda files: files.update({"model.tflite": b"evil"}), "model.tflite was changed"),
        (lambda files: files.pop("model.tflite"), "model.tflite is missing"),
        (lambda files: files.update({"extra.so": b""}), "extra.so was added"),
        (lambda files: files.pop(archive.SUMS), "no SHA256SUMS"),
    ],
)
def test_tampering_is_named(bundle, change, says):
    files = dict(archive.contents(bundle))
    change(files)
    with pytest.raises(BundleError, match=says):
        archive.check(files, "the bundle")


@pytest.mark.parametrize("cut", [0, 1, 30, 200, -200, -20, -1])
def test_a_bundle_that_is_cut_off_is_none(tmp_path, bundle, cut):
    short = tmp_path / "short.tar.gz"
    short.write_bytes(bundle.read_bytes()[:cut])
    with pytest.raises(BundleError):
        archive.contents(short)


def test_every_flipped_byte_is_seen_or_changes_nothing(tmp_path, bundle):
    whole, content = bundle.read_bytes(), archive.contents(bundle)
    for place in range(0, len(whole), 37):
        flipped = tmp_path / "flipped.tar.gz"
        flipped.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        try:
            assert archive.contents(flipped) == content
        except BundleError:
            continue


def test_a_bomb_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MOST_BYTES", 1_000)
    with pytest.raises(BundleError, match="unpacks to more than"):
        archive.contents(made(tmp_path, ("net/zeros", bytes(2_000), {})))
    nested = tmp_path / "nested.tar.gz"
    nested.write_bytes(gzip.compress(lzma.compress(gzip.decompress(made(tmp_path, ("net/x", b"1", {})).read_bytes()))))
    with pytest.raises(BundleError, match="not a bundle"):
        archive.contents(nested)
    not_tar = tmp_path / "x.tar.gz"
    not_tar.write_bytes(gzip.compress(b"hello"))
    with pytest.raises(BundleError, match="not a bundle"):
        archive.contents(not_tar)


def nested_names(count=3_000):
    """A tar of as many names as `count` for its one file, each as GNU writes long ones."""
    entry = tarfile.TarInfo("././@LongLink")
    entry.type = tarfile.GNUTYPE_LONGNAME
    return entry.tobuf(tarfile.GNU_FORMAT) * count + tarfile.TarInfo("net/x").tobuf(tarfile.GNU_FORMAT) + bytes(1024)


def test_names_upon_names_are_refused(tmp_path):
    path = tmp_path / "names.tar.gz"
    path.write_bytes(gzip.compress(nested_names()))
    with pytest.raises(BundleError, match="not a bundle"):
        archive.contents(path)


def test_files_with_holes_and_two_folders_are_refused(tmp_path):
    with pytest.raises(BundleError, match=r"full of holes|not a bundle"):
        archive.contents(made(tmp_path, ("net/holes", b"", {"type": tarfile.GNUTYPE_SPARSE})))
    with pytest.raises(BundleError, match="two folders"):
        archive.contents(made(tmp_path, ("other/x", b"1", {})))
