"""Debian packages: as dpkg, lintian and systemd read them, and installed by dpkg for an emulated Raspberry Pi."""

import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.deploy.board import cached_board, python_of
from tests.deploy.test_archive import nested_names
from tflite_edge.deploy import archive, deb, debian
from tflite_edge.deploy.build import _choose, open_build
from tflite_edge.records.board import BOARDS
from tflite_edge.records.errors import BundleError, ModelError, UsageError

BUNDLE = {"install.sh": b"#!/bin/sh\n", "model.tflite": bytes(range(256)) * 40, "LICENCES.md": b"none\n"}
HOME = f"{deb.HOME}/net"
FILES = {f"{HOME}/{name}": content for name, content in {**BUNDLE, archive.SUMS: archive.sums(BUNDLE)}.items()}
CONTROL = {"control": b"Package: net\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: x\n"}
WHEN_S = 1_700_000_000

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")


@pytest.fixture
def package(tmp_path):
    return deb.pack({**CONTROL, "postinst": b"#!/bin/sh\n"}, FILES, tmp_path / "net.deb", WHEN_S)


def run(*command, **options):
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=600, **options)


@needs_dpkg
def test_dpkg_reads_it_and_the_same_files_give_the_same_bytes(package, tmp_path):
    said = run("dpkg-deb", "-I", package, check=True).stdout
    assert "Package: net" in said
    assert "*  postinst" in said
    listed = run("dpkg-deb", "-c", package, check=True, env={**os.environ, "TZ": "UTC"}).stdout.splitlines()
    assert listed[0].split() == ["drwxr-xr-x", "root/root", "0", "2023-11-14", "22:13", "./"]
    modes = {line.split()[-1]: line.split()[0] for line in listed}
    assert modes[f"./{HOME}/install.sh"] == "-rwxr-xr-x"
    assert modes[f"./{HOME}/model.tflite"] == "-rw-r--r--"
    run("dpkg-deb", "-x", package, tmp_path / "root", check=True)
    run("dpkg-deb", "-e", package, tmp_path / "control", check=True)
    run("md5sum", "--quiet", "--strict", "--check", tmp_path / "control" / "md5sums", cwd=tmp_path / "root", check=True)
    again = deb.pack({"postinst": b"#!/bin/sh\n", **CONTROL}, dict(reversed(FILES.items())), tmp_path / "b.deb", WHEN_S)
    assert again.read_bytes() == package.read_bytes()


def test_what_was_packed_is_read_back(package):
    assert deb.is_deb(package)
    assert deb.contents(package) == FILES


@pytest.mark.parametrize("place", [*range(0, 900, 31), -200, -20, -1])
def test_one_that_is_cut_off_is_none(package, tmp_path, place):
    short = tmp_path / "short.deb"
    short.write_bytes(package.read_bytes()[:place])
    with pytest.raises(BundleError):
        deb.contents(short)


def test_every_flipped_byte_is_seen_or_changes_nothing(package, tmp_path):
    whole = package.read_bytes()
    for place in range(0, len(whole), 7):
        flipped = tmp_path / "flipped.deb"
        flipped.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        try:
            assert deb.contents(flipped) == FILES
        except BundleError:
            continue


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({**FILES, "../x": b""}, "outside the root"),
        ({**FILES, f"{HOME}/model.tflite": b"evil"}, "model.tflite was changed"),
        ({**FILES, f"{HOME}/more": b""}, "more was added"),
        ({"usr/bin/x": b""}, "another package"),
        ({**FILES, f"{deb.HOME}/other/x": b""}, "another package"),
    ],
)
def test_other_packages_and_other_files_are_refused(tmp_path, files, says):
    with pytest.raises(BundleError, match=says):
        deb.contents(deb.pack(CONTROL, files, tmp_path / "x.deb", WHEN_S))


@pytest.mark.parametrize(
    ("control", "files", "says"),
    [
        ({}, {"etc/cron.d/x": b""}, "it holds '/etc/cron.d/x'"),
        ({}, {"usr/bin/classify-other": b""}, "it holds '/usr/bin/classify-other'"),
        ({"preinst": b"#!/bin/sh\n"}, {}, "it holds 'preinst'"),
    ],
)
def test_what_no_package_of_ours_holds_is_refused(tmp_path, control, files, says):
    """Whoever can add a file can mend the sums: of a package without a signature they prove nothing else."""
    with pytest.raises(BundleError, match=says):
        deb.contents(deb.pack({**CONTROL, **control}, {**FILES, **files}, tmp_path / "x.deb", WHEN_S))


@pytest.mark.parametrize(("name", "value"), [("mode", 0o4755), ("mode", 0o666), ("uid", 1000), ("gid", 50)])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE])
def test_files_that_are_not_root_s_alone_are_refused(tmp_path, kind, name, value):
    entry = tarfile.TarInfo("./usr/bin/x")
    entry.type, entry.mode = kind, 0o755
    setattr(entry, name, value)
    with pytest.raises(BundleError, match="with mode"):
        deb.contents(with_data(entry.tobuf(tarfile.GNU_FORMAT) + bytes(1024), tmp_path / "x.deb"))


def test_files_that_the_sums_do_not_name_are_refused(tmp_path, package):
    whole = package.read_bytes()
    other = deb.pack(CONTROL, {**FILES, "etc/x": b""}, tmp_path / "other.deb", WHEN_S).read_bytes()
    mixed = tmp_path / "mixed.deb"
    mixed.write_bytes(whole[: whole.index(b"data.tar.gz")] + other[other.index(b"data.tar.gz") :])
    with pytest.raises(BundleError, match="not those of its md5sums"):
        deb.contents(mixed)


@needs_dpkg
def test_a_package_with_a_link_is_refused(tmp_path):
    root, path = tmp_path / "root", tmp_path / "linked.deb"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_bytes(CONTROL["control"])
    root.chmod(0o755)
    (root / "x").symlink_to("/etc/passwd")
    run("dpkg-deb", "--root-owner-group", "-Zgzip", "-b", root, path, check=True)
    with pytest.raises(BundleError, match="a link"):
        deb.contents(path)


def test_a_bomb_is_refused_before_it_is_read(package, monkeypatch):
    monkeypatch.setattr(archive, "MOST_BYTES", 11_000)
    with pytest.raises(BundleError, match="unpacks to more than"):
        deb.contents(package)


def test_a_bomb_among_what_dpkg_is_told_is_refused(tmp_path):
    path = deb.pack({**CONTROL, "postinst": bytes(2 << 20)}, FILES, tmp_path / "x.deb", WHEN_S)
    with pytest.raises(BundleError, match="unpacks to more than 1,048,576 bytes"):
        deb.contents(path)


def with_data(tar, path):
    """A package of CONTROL with this tar for its files."""
    parts = (deb.FORMAT, deb._packed(deb._tar(CONTROL, set(), WHEN_S)), deb._packed(tar))
    path.write_bytes(deb.MAGIC + b"".join(deb._member(*pair, WHEN_S) for pair in zip(deb.MEMBERS, parts, strict=True)))
    return path


def test_names_upon_names_are_refused(tmp_path):
    with pytest.raises(BundleError, match="not a Debian package"):
        deb.contents(with_data(nested_names(), tmp_path / "x.deb"))


@pytest.mark.parametrize(
    ("name", "becomes"),
    [("mobilenet_v2", "mobilenet-v2"), ("8-Bit.Net", "8-bit.net"), ("_x_", "x"), ("___", "model")],
)
def test_names_become_debian_s(name, becomes):
    assert debian.debian_name(name) == becomes


class Root:
    """The files of an emulated board, for dpkg itself: without root, chroot or binfmt its scripts run outside, and get
    the place of the board's root in DPKG_ROOT, as Debian's own cross installations do."""

    def __init__(self, folder, board, cache, python="3.11.2-1"):
        self.folder = folder
        database = folder / "var" / "lib" / "dpkg"
        for name in ("updates", "info"):
            (database / name).mkdir(parents=True)
        architecture = BOARDS[board].architecture
        native = run("dpkg", "--print-architecture", check=True).stdout.strip()
        (database / "arch").write_text(f"{native}\n{architecture}\n")
        there = {
            "python3": python,
            "libc6": "2.36",
            "libgcc-s1": "12",
            "liblzma5": "5",
            "libstdc++6": "12",
            "zlib1g": "1",
        }
        stanzas = [
            f"Package: {name}\nStatus: install ok installed\nArchitecture: {architecture}\nMulti-Arch: same\n"
            f"Version: {version}\nMaintainer: a <a@b.c>\nDescription: x\n"
            for name, version in there.items()
        ]
        (database / "status").write_text("\n".join(stanzas))
        python_of(cached_board(board, cache), folder / "usr" / "bin")

    def dpkg(self, *words):
        force = "--force-not-root,script-chrootless"
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        return run("dpkg", f"--root={self.folder}", force, f"--log={self.folder}/log", *words, env=env)

    def classify(self, *words):
        """What /usr/bin/classify-small starts, below this root."""
        script = (self.folder / "usr/bin/classify-small").read_text().splitlines()[-1]
        program = script.removeprefix("exec /").removesuffix(' "$@"')
        return run(self.folder / program, *words, env={"PATH": "/usr/bin:/bin"})

    def left(self):
        """Files that are there beside dpkg's and update-alternatives' own."""
        own = ("var/lib/dpkg", "var/log", "log", "usr/bin/python3")
        found = (path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if not path.is_dir())
        return [name for name in found if not name.startswith(own)]


@pytest.fixture(scope="module")
def packed(boards, converted, edge, tmp_path_factory):
    """The package of `converted` for a 32-bit Raspberry Pi 3 as the command makes it, signed."""
    out = tmp_path_factory.mktemp("dist")
    before, os.environ["TFLITE_EDGE_CACHE"] = os.environ["TFLITE_EDGE_CACHE"], str(boards)
    try:
        edge("keygen", "-o", out / "key")
        done = edge.json("package", converted[0], "--for", "pi3-32", "--deb", "-o", out, "--sign", out / "key")
    finally:
        os.environ["TFLITE_EDGE_CACHE"] = before
    assert done["path"] == str(out / "small-pi3-32.deb")
    return out / "small-pi3-32.deb"


@pytest.mark.slow
def test_it_is_signed_and_verified(packed, edge, tmp_path):
    told = edge.json("verify", packed, "--key", packed.parent / "key.pub")
    assert {"usr/bin/classify-small", f"{deb.HOME}/small/app.pyz"} <= set(told["files"])
    assert told["signature"]["comment"].startswith("file:small-pi3-32.deb")
    wrong = tmp_path / packed.name
    wrong.write_bytes(packed.read_bytes()[:-1] + b"x")
    shutil.copy(f"{packed}.minisig", tmp_path)
    assert "not what was signed" in edge("verify", wrong, "--key", packed.parent / "key.pub", code=3).stderr


@pytest.mark.slow
def test_dpkg_is_told_what_it_needs(packed):
    fields = run("dpkg-deb", "-f", packed, check=True).stdout
    assert "Package: tflite-edge-small\n" in fields
    assert "Architecture: armhf\n" in fields
    assert "Depends: python3 (>= 3.11~), python3 (<< 3.12~), libc6 (>= 2.36)" in fields
    assert "classification on a Raspberry Pi 3, 32-bit OS with the model small\n" in fields


@pytest.mark.slow
def test_lintian_finds_no_fault(packed):
    if shutil.which("lintian") is None:
        pytest.skip("lintian is not installed")
    done = run("lintian", "--fail-on", "error,warning", packed)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_systemd_takes_the_unit_and_finds_it_closed(packed, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = deb.contents(packed)["lib/systemd/system/tflite-edge-small.service"].decode()
    unit = tmp_path / "tflite-edge-small.service"
    unit.write_text(text.replace("/usr/bin/classify-small", "/bin/true"))  # which must be there
    verified = run("systemd-analyze", "verify", "--man=no", unit)
    assert (verified.returncode, verified.stderr) == (0, "")
    security = run("systemd-analyze", "security", "--offline=true", "--threshold=20", unit)  # of 100
    assert security.returncode == 0, security.stdout.splitlines()[-1]


@pytest.mark.slow
def test_dpkg_installs_it_keeps_the_last_good_model_and_leaves_nothing(packed, boards, tmp_path, image_folder):
    root = Root(tmp_path / "root", "pi3-32", boards)
    done = root.dpkg("--install", packed)
    assert done.returncode == 0, done.stderr
    assert '"largest_difference": 0.0' in done.stdout
    assert (root.folder / "etc/alternatives/classify").readlink() == Path("/usr/bin/classify-small")
    assert not list(root.folder.glob("etc/systemd/**/*.service"))  # it is there, and nobody is asked to start it
    images = [image_folder / name / "1.png" for name in ("a-zero", "d-three")]
    answers = [json.loads(line) for line in root.classify(*images).stdout.splitlines()]
    assert [answer["label"] for answer in answers] == ["a-zero", "d-three"]
    release = (root.folder / "var/lib/tflite-edge/small/current").resolve()
    assert not (release / "bundle" / "wheels").exists()

    refused = root.dpkg("--install", worse(packed, tmp_path))
    assert refused.returncode == 1
    assert "failed its smoke test on this board; what was installed before is still in use" in refused.stderr
    assert (root.folder / "var/lib/tflite-edge/small/current").resolve() == release
    assert json.loads(root.classify("--info").stdout)["machine"] == "armv7l"

    assert root.dpkg("--purge", "tflite-edge-small:armhf").returncode == 0
    assert root.left() == []


def worse(package, folder):
    """A later version, whose model answers otherwise than promised."""
    place, changed = folder / "worse", folder / "worse.deb"
    run("dpkg-deb", "-R", package, place, check=True)
    home = place / deb.HOME / "small"
    with np.load(home / "smoke.npz") as arrays:
        np.savez(home / "smoke.npz", x=arrays["x"], outputs=arrays["outputs"][:, ::-1])
    files = {p.relative_to(home).as_posix(): p.read_bytes() for p in home.rglob("*") if p.is_file()}
    files.pop(archive.SUMS)
    (home / archive.SUMS).write_bytes(archive.sums(files))
    control = place / "DEBIAN" / "control"
    control.write_text(control.read_text().replace("Version: ", "Version: 9"))
    run("dpkg-deb", "--root-owner-group", "-Zgzip", "-b", place, changed, check=True)
    return changed


@pytest.mark.slow
def test_another_python_is_refused_before_anything_runs(packed, boards, tmp_path):
    root = Root(tmp_path / "root", "pi3-32", boards, python="3.13.5-1")
    refused = root.dpkg("--install", packed)
    assert refused.returncode == 1
    assert "depends on python3 (<< 3.12~)" in refused.stderr
    assert not (root.folder / "var/lib/tflite-edge").exists()


@pytest.mark.slow
def test_what_cannot_be_a_package_is_refused(edge, converted, tmp_path):
    refused = edge("package", converted[0], "--for", "mcu", "--deb", "-o", tmp_path / "out", code=2)
    assert "no Debian package for mcu" in refused.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_other_contents_are_another_version(converted, tmp_path):
    """dpkg takes two packages of one version for the same, and tells nobody which is installed."""
    build = open_build(converted[0])
    versions = {
        run("dpkg-deb", "-f", debian.write(build, "pi4", files, tmp_path / "x.deb"), "Version", check=True).stdout
        for files in (BUNDLE, BUNDLE, {**BUNDLE, "bundle.json": b"{}"})
    }
    assert len(versions) == 2


@pytest.mark.slow
def test_times_and_maintainer_come_from_the_environment(converted, tmp_path, monkeypatch):
    build = open_build(converted[0])

    def written(**environment):
        for name in ("SOURCE_DATE_EPOCH", "DEBFULLNAME", "DEBEMAIL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return run("dpkg-deb", "-f", debian.write(build, "pi4", BUNDLE, tmp_path / "x.deb"), check=True).stdout

    assert "Version: 20231114.221320+" in written(SOURCE_DATE_EPOCH=str(WHEN_S), DEBEMAIL="me@home.org")
    assert "Maintainer: Me <me@home.org>\n" in written(DEBFULLNAME="Me", DEBEMAIL="me@home.org")
    for wrong in ({"SOURCE_DATE_EPOCH": "yesterday"}, {"DEBEMAIL": "a@b.c>\nDepends: x"}, {"DEBFULLNAME": "a\nb"}):
        with pytest.raises(UsageError):
            written(**wrong)
    stranger = replace(build.manifest.source, model="x\nDepends: everything\x1b[2J")
    odd = replace(build, manifest=replace(build.manifest, source=stranger))
    control = debian._control(odd, BOARDS["pi4"], debian._words(odd, debian._when(odd), b""), "a <a@b.c>", 1)
    assert control.decode().count("\nDepends:") == 1
    assert "\x1b" not in control.decode()


@pytest.mark.slow
def test_a_manifest_s_odd_time_or_mode_is_an_error_of_ours(converted, monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    build = open_build(converted[0])

    def made(created):
        return debian._when(replace(build, manifest=replace(build.manifest, created=created)))

    assert made("2023-11-14T22:13:20") == made("2023-11-14T23:13:20+01:00")  # without a zone: UTC's, on every machine
    for odd in ("", "yesterday", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1969-12-31T00:00:00+00:00"):
        with pytest.raises(ModelError, match="at no time"):
            made(odd)
    with pytest.raises(ModelError, match="does not know: 'int3'"):
        _choose([replace(build.variant, mode="int3")], "", build.folder)
