"""Debian packages, written and read as deb(5) says: the same files give the same bytes, and nothing is unpacked."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from tflite_edge.artifact import write
from tflite_edge.deploy import archive
from tflite_edge.records.errors import BundleError

MAGIC, FORMAT = b"!<arch>\n", b"2.0\n"
MEMBERS = ("debian-binary", "control.tar.gz", "data.tar.gz")  # wheels are packed: xz takes 15 times as long for 0.2 %
HEADER_BYTES = 60  # of a member of an ar archive: name, time, owner, group, mode, size, and two bytes
SUMS = "md5sums"  # the sums that dpkg keeps and `dpkg --verify` reads
MOST_CONTROL_BYTES = 1 << 20  # of scripts and sums, unpacked: ours take some 20 KB
SCRIPTS = ("postinst", "prerm", "postrm")
PREFIX = "tflite-edge-"  # of a package's name: a model that is called bash must not replace Debian's
HOME = "usr/lib/tflite-edge"  # the bundle of a package lies in a folder of it


def is_deb(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def pack(control: Mapping[str, bytes], files: Mapping[str, bytes], path: Path, when_s: int) -> Path:
    """Write `path` (.deb). control, files: name -> content, names below the root; when_s: the time of all of them.

    Scripts of `control`, and of `files` what lies in a bin folder or ends in .sh, can be executed.
    """
    sums = "".join(f"{_md5(content)}  {name}\n" for name, content in sorted(files.items()))
    scripts = {name for name in control if name != "control"}
    programs = {name for name in files if name.endswith(".sh") or PurePosixPath(name).parent.name == "bin"}
    contents = (
        FORMAT,
        _packed(_tar({**control, SUMS: sums.encode()}, scripts, when_s)),
        _packed(_tar(files, programs, when_s)),
    )
    return write(path, MAGIC + b"".join(_member(*pair, when_s) for pair in zip(MEMBERS, contents, strict=True)))


def _tar(files: Mapping[str, bytes], programs: set[str], when_s: int) -> bytes:
    """In GNU's format, which dpkg reads whatever its age; every folder before what it holds."""
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in sorted({*folders, *files}):
            entry = tarfile.TarInfo("./" if name == "." else f"./{name}")
            entry.mtime, entry.uname, entry.gname = when_s, "root", "root"
            if name in folders:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
            else:
                entry.size, entry.mode = len(files[name]), 0o755 if name in programs else 0o644
                tar.addfile(entry, io.BytesIO(files[name]))
    return buffer.getvalue()


def _packed(content: bytes) -> bytes:
    return gzip.compress(content, archive.LEVEL, mtime=0)


def _member(name: str, content: bytes, when_s: int) -> bytes:
    header = f"{name:<16}{when_s:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
    return header + content + b"\n" * (len(content) % 2)


def contents(path: Path) -> dict[str, bytes]:
    """Name -> content of what a package of ours installs, every file proven by the package's sums and the bundle's own.

    Raises BundleError for anything else, links and other packages included. Nothing is written.
    """
    try:
        control, files = _both(path)
    except archive.BROKEN as error:
        raise BundleError(
            f"{path} is not a Debian package, or not all of it",
            evidence=str(error),
            do="copy it again in binary mode; `tflite-edge package --deb` makes it",
        ) from error
    sums = {f"{_md5(content)}  {name}" for name, content in files.items()}
    if set(control.get(SUMS, b"").decode(errors="replace").splitlines()) != sums:
        raise BundleError(
            f"{path} was tampered with or damaged: its files are not those of its {SUMS}",
            do="get it again from who made it",
        )
    homes = {name.split("/")[3] for name in files if name.startswith(f"{HOME}/") and name.count("/") > 3}
    if len(homes) != 1:
        raise BundleError(f"{path} is another package: it has no bundle in /{HOME}")
    name = homes.pop()
    _refuse_strange(control, files, name, path)
    top = f"{HOME}/{name}/"
    archive.check({file[len(top) :]: content for file, content in files.items() if file.startswith(top)}, str(path))
    return files


def _refuse_strange(control: Mapping[str, bytes], files: Mapping[str, bytes], name: str, path: Path) -> None:
    """Raise BundleError for what no package of ours tells dpkg, or installs beside the bundle."""
    own = own_files(name)
    strange = sorted({*control} - {"control", SUMS, *SCRIPTS})
    strange += sorted(f"/{file}" for file in files if file not in own and not file.startswith(f"{HOME}/{name}/"))
    if strange:
        raise BundleError(
            f"{path} was not made by `tflite-edge package`: it holds {strange[0]!r}",
            evidence="beside its bundle: " + ", ".join(strange[:5]),
            do="do not install it: get it again from who made it",
        )


def own_files(name: str) -> tuple[str, str, str, str, str]:
    """What the package of the bundle `name` installs beside it: its command, service, manual, changelog, copyright."""
    package = PREFIX + name
    return (
        f"usr/bin/classify-{name}",
        f"lib/systemd/system/{package}.service",
        f"usr/share/man/man1/classify-{name}.1.gz",
        f"usr/share/doc/{package}/changelog.gz",
        f"usr/share/doc/{package}/copyright",
    )


def _both(path: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """(what dpkg is told, what it installs), one read after the other: together they stay below MOST_BYTES."""
    told, installed = _members(path)
    control = _files(_unpacked(told, path, MOST_CONTROL_BYTES), path)
    most = archive.MOST_BYTES - sum(map(len, control.values()))
    return control, _files(_unpacked(installed, path, most), path)


def _members(path: Path) -> tuple[bytes, bytes]:
    """(control, data), packed. Raises ValueError."""
    if path.stat().st_size > archive.MOST_BYTES:
        raise ValueError(f"larger than {archive.MOST_BYTES:,} bytes")
    whole = path.read_bytes()
    found, place = [], len(MAGIC)
    for wanted in MEMBERS:
        header = whole[place : place + HEADER_BYTES]
        name, size = header[:16].decode("ascii").rstrip(" /"), int(header[48:58] or b"0")
        place += HEADER_BYTES
        content = whole[place : place + size]
        if name != wanted or header[58:] != b"`\n" or size < 0 or len(content) != size:
            raise ValueError(f"its part {wanted} is not there, or cut off")
        place += size + size % 2
        found.append(content)
    if found[0] != FORMAT or place != len(whole):
        raise ValueError("it is of another format, or does not end where it should")
    return found[1], found[2]


def _unpacked(content: bytes, path: Path, most: int) -> bytes:
    reader = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)  # gzip's format, its checksum included
    whole = reader.decompress(content, most + 1)
    if len(whole) > most:
        raise BundleError(f"{path} is no bundle: a part of it unpacks to more than {most:,} bytes")
    if not reader.eof or reader.unused_data:
        raise EOFError("a part of it is cut off, or something follows it")
    return whole


def _files(whole: bytes, path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(whole), mode="r:") as tar:
        for member in tar:
            parts = PurePosixPath(member.name).parts
            if ".." in parts or "/" in parts or "\\" in member.name:
                raise BundleError(f"{path} would write outside the root: {member.name!r}", do="do not install it")
            name = "/".join(parts)
            if not member.isdir() and (not member.isreg() or member.issparse() or name in found):
                raise BundleError(
                    f"{path} holds {member.name!r}, which is a link, a device, full of holes or there twice",
                    do="do not install it: a package of ours holds files only",
                )
            if member.uid or member.gid or member.mode not in ((0o755,) if member.isdir() else (0o644, 0o755)):
                raise BundleError(
                    f"{path} would install {member.name!r} with mode {member.mode:o} for user {member.uid}",
                    do="do not install it: files of a package of ours are root's, and nobody else writes them",
                )
            if member.isdir():
                continue
            stream = tar.extractfile(member)
            assert stream is not None  # a regular file
            found[name] = stream.read()
    return found


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()  # what dpkg reads; the signature is the protection
