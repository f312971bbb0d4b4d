"""Files appended to a model as a zip archive behind the flatbuffer, as TFLite's metadata keeps labels: `unzip -l` of
such a model lists them, and every runtime loads it, because a flatbuffer is read from its front.

Nothing is ever unpacked to the disk. What a stranger appended is read within limits, in memory.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping

from tflite_edge.records.errors import ModelError

END = b"PK\x05\x06"  # of an archive
RECORD_BYTES = 22  # of END and what it counts; the last two are the length of a comment
TAIL_BYTES = 66_000  # its comment can be 64 KiB long
MOST_FILES, MOST_BYTES = 64, 16 << 20  # of all files together, unpacked
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip can hold: the same files give the same bytes
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ValueError,
    OSError,
    EOFError,
    RuntimeError,
    OverflowError,
)  # fmt: skip - what zipfile raises at bytes that are none; RuntimeError: they are encrypted


def append(model: bytes, files: Mapping[str, bytes]) -> bytes:
    """`model` with `files` behind it, stored whole, which is what the Task Library reads. Without files: `model`."""
    if not files:
        return model
    buffer = io.BytesIO()
    buffer.write(model)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # its places are counted from the model's front
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, date_time=EPOCH)
            entry.external_attr, entry.create_system = 0o100644 << 16, 3  # a file of Unix, also when made on Windows
            archive.writestr(entry, content)
    return buffer.getvalue()


def split(data: bytes | memoryview) -> tuple[bytes | memoryview, dict[str, bytes]]:
    """(the flatbuffer, the files behind it). Raises ModelError for an archive that is damaged, or not to be trusted:
    names that lead out of a folder, more than MOST_FILES, more than MOST_BYTES."""
    if not _ends_archive(bytes(data[-TAIL_BYTES:])):  # weights may hold its four letters by chance
        return data, {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            start = min([entry.header_offset for entry in entries] + [archive.start_dir])
            _refuse_odd(entries)
            files = {entry.filename: _content(archive, entry) for entry in entries}
    except BROKEN as error:
        raise _refused(str(error)) from error
    if start < 8:
        raise _refused("it begins before the model does")
    return data[:start], files


def _ends_archive(tail: bytes) -> bool:
    """Is the last record of an archive, with the comment behind it, what `tail` ends with?"""
    places = (found.start() + RECORD_BYTES for found in re.finditer(re.escape(END), tail))
    return any(at + int.from_bytes(tail[at - 2 : at], "little") == len(tail) for at in places if at <= len(tail))


def _refuse_odd(entries: list[zipfile.ZipInfo]) -> None:
    """The sizes are those that the archive claims; reading holds it to them."""
    if len(entries) > MOST_FILES or sum(entry.file_size for entry in entries) > MOST_BYTES:
        raise _refused(f"it holds more than {MOST_FILES} files, or more than {MOST_BYTES:,} bytes")
    names = [entry.filename for entry in entries]
    for name in names:
        if not name.isprintable() or {"", ".", ".."} & set(name.split("/")) or "\\" in name or names.count(name) > 1:
            raise _refused(f"the name {name[:80]!r} leads out of a folder, to none, or comes twice")


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as stream:
        content = stream.read(entry.file_size + 1)
    if len(content) != entry.file_size:
        raise _refused(f"{entry.filename!r} is not as long as the archive says")
    return content


def _refused(evidence: str) -> ModelError:
    return ModelError(
        "the files appended to this model cannot be read",
        evidence=evidence[:200],
        do="get the model again; `tflite-edge strip --for mcu` drops what is appended",
    )
