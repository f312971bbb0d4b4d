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
LOCATOR_64 = b"PK\x06\x07"  # of the second directory that archives above 4 GB have
MOST_FILES, MOST_BYTES = 64, 16 << 20  # of all files together, unpacked
MOST_DIRECTORY_BYTES = 1 << 16
PACKINGS = {
    zipfile.ZIP_STORED,
    zipfile.ZIP_DEFLATED,
}  # all that metadata tools write
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip can hold: the same files give the same bytes
# What zipfile raises at bytes that are none; RuntimeError: they are encrypted.
BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, ValueError, OSError, EOFError, RuntimeError, OverflowError)


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
    tail = bytes(data[-TAIL_BYTES:])
    records = _records(tail)
    if not records:
        return data, {}
    if len(records) > 1:  # readers differ in which they take, and so in what they find
        raise _refused(f"it ends with {len(records)} records, each of which says that it is the last")
    record = records[0]
    (directory_bytes,) = struct.unpack_from("<I", tail, record + 12)
    if directory_bytes > MOST_DIRECTORY_BYTES or tail[max(0, record - 20) :].startswith(LOCATOR_64):
        raise _refused(f"its directory takes {directory_bytes:,} bytes, or is that of a huge archive")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            start = min([entry.header_offset for entry in entries] + [archive.start_dir])
            _refuse_odd(entries)
            files = {entry.filename: _content(archive, entry) for entry in entries if not entry.is_dir()}
    except BROKEN as error:
        raise _refused(str(error) or type(error).__name__) from error
    if start < 8:
        raise _refused("it begins before the model does")
    return data[:start], files


def _records(tail: bytes) -> list[int]:
    """Where the records of an archive lie that, with their comments, `tail` ends with; weights may hold their letters
    by chance."""
    places = (found.start() for found in re.finditer(re.escape(END), tail))
    ends = ((place, place + RECORD_BYTES) for place in places)
    return [
        place
        for place, end in ends
        if end <= len(tail) and end + int.from_bytes(tail[end - 2 : end], "little") == len(tail)
    ]


def _refuse_odd(entries: list[zipfile.ZipInfo]) -> None:
    """The sizes are those that the archive claims; reading holds it to them."""
    if len(entries) > MOST_FILES or sum(entry.file_size for entry in entries) > MOST_BYTES:
        raise _refused(f"it holds more than {MOST_FILES} files, or more than {MOST_BYTES:,} bytes")
    if not {entry.compress_type for entry in entries} <= PACKINGS:
        raise _refused("a file is packed otherwise than by deflate")
    names = [entry.filename for entry in entries]
    for name in names:
        if (
            not name.isprintable()
            or {"", ".", ".."} & set(name.removesuffix("/").split("/"))
            or "\\" in name
            or names.count(name) > 1
        ):
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
