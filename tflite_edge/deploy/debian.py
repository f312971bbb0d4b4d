"""A bundle as a Debian package: what dpkg is told of it, its command, its service, its scripts."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import textwrap
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import format_datetime
from pathlib import Path

from tflite_edge import __version__
from tflite_edge.deploy import archive, deb
from tflite_edge.deploy.build import Build
from tflite_edge.deploy.template import filled
from tflite_edge.records.board import BOARDS, Board, board_named
from tflite_edge.records.errors import ModelError, UsageError

# What the wheels and the packages inside load and do not bring along (`readelf -d`).
LIBRARIES = ("libc6 (>= {glibc})", "libgcc-s1", "liblzma5", "libstdc++6", "zlib1g")
MAINTAINER = ("tflite-edge", "nobody@tflite-edge.invalid")  # where DEBFULLNAME and DEBEMAIL say nothing
WIDTH = 78
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # archives count from here


def refuse_other_targets(target: str) -> None:
    """Raises UsageError for what is not a board alone: its service reaches no device."""
    if target not in BOARDS:
        raise UsageError(
            f"there is no Debian package for {target}",
            evidence="--deb packs for " + ", ".join(BOARDS),
            do="leave --deb out",
        )


def write(build: Build, target: str, files: Mapping[str, bytes], path: Path) -> Path:
    """The bundle's `files` (name -> content) as the Debian package `path` for the board `target`.

    The same files give the same bytes: their times are the conversion's, or SOURCE_DATE_EPOCH where that is set; the
    maintainer is DEBFULLNAME and DEBEMAIL, as for Debian's own tools. Raises UsageError where these are malformed,
    ModelError where the conversion's time is none.
    """
    when, maintainer = _when(build), _maintainer()
    sums = archive.sums(files)
    words = _words(build, when, sums)
    command, service, manual, changelog, rights = deb.own_files(words["NAME"])
    home = f"{deb.HOME}/{words['NAME']}"
    installed = {f"{home}/{file}": content for file, content in {**files, archive.SUMS: sums}.items()} | {
        command: _filled("command", words),
        service: _filled("service", words),
        manual: _gzip(_filled("manual", words)),
        changelog: _gzip(_changelog(build, words, maintainer, when)),
        rights: _filled("copyright", words) + files["LICENCES.md"],
    }
    size_kib = sum(-(-len(content) >> 10) for content in installed.values())
    control = {script: _filled(script, words) for script in deb.SCRIPTS}
    control["control"] = _control(build, board_named(target), words, maintainer, size_kib)
    return deb.pack(control, installed, path, int(when.timestamp()))


def debian_name(name: str) -> str:
    """`name` as Debian writes names: lower case, no underscores (policy 5.6.1).

    my_net and my-net become one name: the package of one replaces that of the other.
    """
    return re.sub(r"[^a-z0-9.+-]", "-", name.lower()).strip("-.+") or "model"


def _when(build: Build) -> datetime:
    said = os.environ.get("SOURCE_DATE_EPOCH", "")  # reproducible-builds.org/specs/source-date-epoch
    if not said:
        return _created(build)
    if not re.fullmatch(r"[0-9]{1,11}", said):
        raise UsageError(f"SOURCE_DATE_EPOCH is no number of seconds: {said!r}", do="unset SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(int(said), timezone.utc)


def _created(build: Build) -> datetime:
    """When the folder was made. Raises ModelError for what is no time, or one before 1970, which no archive holds."""
    try:
        when = datetime.fromisoformat(build.manifest.created)
        when = (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        why = str(error)
    else:
        if when >= EPOCH:
            return when
        why = "it is before 1970"
    raise ModelError(
        f"{build.folder} was created at no time that a package can have: {build.manifest.created!r}",
        evidence=why,
        do="convert it again, or set SOURCE_DATE_EPOCH",
    )


def _maintainer() -> str:
    name, address = os.environ.get("DEBFULLNAME") or MAINTAINER[0], os.environ.get("DEBEMAIL") or MAINTAINER[1]
    if not name.isprintable() or re.search(r"[<>,]", name) or not re.fullmatch(r"[!-;=?-~]+@[!-;=?-~]+", address):
        raise UsageError(
            f"no maintainer of a package: {name} <{address}>", do="set DEBFULLNAME and DEBEMAIL, or unset them"
        )
    return f"{name} <{address}>"


def _words(build: Build, when: datetime, sums: bytes) -> dict[str, str]:
    """What the templates say @WORD@ for. sums: the bundle's SHA256SUMS."""
    name = debian_name(build.manifest.name)
    # A later conversion is an upgrade, and a later tflite-edge too; the hash tells bundles of one conversion apart.
    tool = re.sub(r"[^A-Za-z0-9.+~]", ".", __version__)
    return {
        "NAME": name,
        "PACKAGE": deb.PREFIX + name,
        "VERSION": f"{when:%Y%m%d.%H%M%S}+{tool}+{hashlib.sha256(sums).hexdigest()[:8]}",
        "DATE": f"{when:%Y-%m-%d}",
        "YEAR": f"{when:%Y}",
        "TOOL": __version__,
        "TITLE": f"CLASSIFY-{name.upper()}",
        "MANUAL": name.replace("-", "\\-"),
    }


def _control(build: Build, board: Board, words: Mapping[str, str], maintainer: str, size_kib: int) -> bytes:
    major, minor = map(int, board.python.split("."))
    libraries = [library.format(glibc=board.glibc) for library in LIBRARIES]
    fields = {
        "Package": words["PACKAGE"],
        "Version": words["VERSION"],
        "Architecture": board.architecture,
        "Maintainer": maintainer,
        "Installed-Size": size_kib,
        "Depends": ", ".join([f"python3 (>= {board.python}~)", f"python3 (<< {major}.{minor + 1}~)", *libraries]),
        "Section": "science",
        "Priority": "optional",
        "Description": _description(build, board),
    }
    return "".join(f"{field}: {value}\n" for field, value in fields.items()).encode()


def _description(build: Build, board: Board) -> str:
    """One line, then the model card's own."""
    source, variant = build.manifest.source, build.variant
    of = f", {len(source.labels)} classes" if source.labels else ""
    lines = [f"{source.task} on a {board.title} with the model {build.manifest.name}"]
    score = variant.score
    said = [
        f"{variant.file}: {variant.scheme}, {variant.bytes:,} bytes, made from {source.model}{of}.",
        f"Top-1 {score.top1:.2%} on {score.images} test images." if score and score.top1 is not None else "",
        "It classifies images by the command and, where its service is started, over HTTP on this machine.",
        "All that it needs of Python is inside: it installs offline, and only what passes its smoke test is used.",
    ]
    # No line of a stranger's begins a field, and none of their letters moves a terminal's cursor.
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in " ".join(said)).split())
    return "\n ".join([*lines, *textwrap.wrap(text, WIDTH)])


def _changelog(build: Build, words: Mapping[str, str], maintainer: str, when: datetime) -> bytes:
    return (
        f"{words['PACKAGE']} ({words['VERSION']}) stable; urgency=medium\n\n"
        f"  * {build.variant.file}, packed by tflite-edge {__version__}.\n\n"
        f" -- {maintainer}  {format_datetime(when)}\n"
    ).encode()


def _filled(template: str, words: Mapping[str, str]) -> bytes:
    return filled(f"maintainer/{template}", words).encode()


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, 9, mtime=0)
