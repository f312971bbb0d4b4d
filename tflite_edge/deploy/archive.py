"""Archives: the same files give the same bytes, and what comes from a stranger stays in its folder."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from tflite_edge.artifact import write
from tflite_edge.records.errors import BundleError

SUMS = "SHA256SUMS"  # as `sha256sum --check` reads it
MOST_BYTES = 1 << 30  # of a bundle, unpacked: a bomb is refused, NumPy's and a runtime's wheels are not
# What gzip and tarfile raise at bytes that are none; RecursionError: thousands of names before one file.
BROKEN = (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, OverflowError, RecursionError)
LEVEL = 6  # wheels and weights are packed already


def sums(files: Mapping[str, bytes]) -> bytes:
    """The text of SHA256SUMS for `files` (name -> content)."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items())]
    return "".join(lines).encode()


def pack(files: Mapping[str, bytes], path: Path) -> Path:
    """Write `files` as `path` (.tar.gz), in one folder of the archive's own name, with their SHA256SUMS.

    A name that ends in .sh, or lies in bin/, can be executed. No time, owner or order of the machine goes in.
    """
    top = path.name.removesuffix(".tar.gz")
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", filename="", mtime=0, compresslevel=LEVEL) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, content in sorted({**files, SUMS: sums(files)}.items()):
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size = len(content)
            entry.mode = 0o755 if name.endswith(".sh") or name.startswith("bin/") else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return write(path, buffer.getvalue())


def contents(path: Path) -> dict[str, bytes]:
    """Name -> content of a bundle, every file proven by its SHA256SUMS. Raises BundleError for anything else.

    Read in memory: nothing is written, so nothing can be written to the wrong place.
    """
    found: dict[str, bytes] = {}
    try:
        with gzip.open(path) as stream:  # to its end: what was cut off fails its checksum
            whole = stream.read(MOST_BYTES + 1)
        if len(whole) > MOST_BYTES:
            raise BundleError(f"{path} is no bundle: it unpacks to more than {MOST_BYTES:,} bytes")
        with tarfile.open(fileobj=io.BytesIO(whole), mode="r:") as archive:  # not an archive in an archive
            top = ""
            for member in archive:
                top = _take(member, archive, path, found, top)
    except BROKEN as error:
        raise BundleError(
            f"{path} is not a bundle, or not all of it",
            evidence=str(error),
            do="copy it again in binary mode; `tflite-edge package` makes it",
        ) from error
    check(found, str(path))
    return found


def _take(member: tarfile.TarInfo, archive: tarfile.TarFile, path: Path, found: dict[str, bytes], top: str) -> str:
    """Put a file into `found`; the folder that all of them must lie in, which the first one names."""
    # Sparse: its size is made up, not stored. Folders: `pack` writes none, and tar makes those of the files.
    if not member.isreg() or member.issparse():
        raise BundleError(
            f"{path} holds {member.name!r}, which is a folder, a link, a device or full of holes",
            do="do not use it: a bundle holds files only",
        )
    if member.uid or member.gid or member.mode not in (0o644, 0o755):
        raise BundleError(
            f"{path} would write {member.name!r} with mode {member.mode:o} for user {member.uid}",
            do="do not unpack it by hand either: it was not made by `tflite-edge package`",
        )
    folder, name = _name(member, path)
    if top and folder != top:
        raise BundleError(
            f"{path} would write into two folders, {top!r} and {folder!r}",
            do="do not unpack it by hand either: it was not made by `tflite-edge package`",
        )
    if name in found:
        raise BundleError(f"{path} holds {name!r} twice", do="do not use it: get the bundle again")
    stream = archive.extractfile(member)
    assert stream is not None  # a regular file
    found[name] = stream.read()
    return folder


def _name(member: tarfile.TarInfo, path: Path) -> tuple[str, str]:
    """(the bundle's one folder, the name below it)."""
    parts = PurePosixPath(member.name).parts
    wrong = len(parts) < 2 or parts[0] == "/" or ".." in parts or "\\" in member.name or "\0" in member.name
    if wrong or parts[0].startswith((".", "~", "-")):
        raise BundleError(
            f"{path} would write outside its folder: {member.name!r}",
            do="do not unpack it by hand either: it was not made by `tflite-edge package`",
        )
    return parts[0], str(PurePosixPath(*parts[1:]))


def check(files: Mapping[str, bytes], what: str) -> None:
    """Raise BundleError unless SHA256SUMS names exactly the other files, each with its hash."""
    if SUMS not in files:
        raise BundleError(f"{what} is no bundle: it has no {SUMS}")
    others = {name: content for name, content in files.items() if name != SUMS}
    listed = {}
    for line in files[SUMS].decode(errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        listed[name] = digest
    changed = [n for n, c in others.items() if n in listed and hashlib.sha256(c).hexdigest() != listed[n]]
    for names, says in (
        (sorted(changed), "was changed"),
        (sorted(set(listed) - set(others)), "is missing"),
        (sorted(set(others) - set(listed)), "was added"),
    ):
        if names:
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            raise BundleError(
                f"{what} was tampered with or damaged: {names[0]}{more} {says}",
                evidence=f"against its {SUMS}",
                do="get the bundle again from who made it",
            )
