"""Real and hand-made files with bytes, words and stretches exchanged: facts, or one error, soon and in little memory.

A longer run of the same: FUZZ_SECONDS=600 pytest tests/flatbuffer/test_fuzz.py
"""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
import time

import pytest

from tests.flatbuffer import real, tiny
from tflite_edge.flatbuffer import inspect
from tflite_edge.flatbuffer.strip import strip
from tflite_edge.records.errors import ModelError
from tflite_edge.records.plain import to_plain

SECONDS = float(os.environ.get("FUZZ_SECONDS", "5"))
SEEDS = {
    "converted": real.PATH.read_bytes(),
    "stripped": strip(real.PATH)[0],
    "island": tiny.int8_with_float_island(),
    "sparse": tiny.pack(tiny.sparse_model()),
}
WORDS = (0, 1, 2, 4, 127, 255, 1000, 65535, 2**24, 2**31 - 4, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
MOST_MEMORY_BYTES = 1 << 30


def mutant(valid, rng):
    data = bytearray(valid)
    if rng.random() < 0.05:
        return bytes(data[: rng.randrange(len(data))])
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8, 30))):
        at, kind = rng.randrange(8, len(data) - 8), rng.randrange(5)
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            struct.pack_into("<I", data, at & ~3, rng.choice((*WORDS, rng.randrange(len(data)))))
        elif kind == 3:
            struct.pack_into("<H", data, at & ~1, rng.choice((0, 4, 8, 16, rng.randrange(65536))))
        else:
            source, size = rng.randrange(len(data) - 64), rng.randrange(1, 64)
            data[at : at + size] = data[source : source + size][: len(data) - at]
    return bytes(data)


@pytest.mark.parametrize("name", SEEDS)
def test_mutants_are_read_or_refused(name):
    rng, until, seen = random.Random(name), time.monotonic() + SECONDS / len(SEEDS), {"facts": 0, "errors": 0}
    while time.monotonic() < until or not min(seen.values()):
        data = mutant(SEEDS[name], rng)
        try:
            json.dumps(to_plain(inspect(data)))
            strip(data, rng.choice(("pi", "mcu")))
            seen["facts"] += 1
        except ModelError as error:
            seen["errors"] += 1
            assert all((error.what, error.evidence, error.do))  # noqa: PT017 - either will do


def many_operators(count):
    """A model whose `count` operators are one and the same table: small in the file, large in the answer."""
    made = tiny.model([tiny.T("x" * 2000), tiny.T("y" * 2000)], [tiny.Op("TANH", ("x" * 2000,), ("y" * 2000,))],
                      ("x" * 2000,), ("y" * 2000,))  # fmt: skip
    made.subgraphs[0].operators *= count
    return tiny.pack(made)


HOSTILE = {
    "wrong identifier": lambda: b"\x1c\0\0\0TFL9" + real.PATH.read_bytes()[8:],
    "a vector of 2^32 - 1": lambda: struct.pack("<I4sHHHHiII", 16, b"TFL3", 8, 8, 0, 4, 8, 4, 2**32 - 1),
    "no operators": lambda: tiny.build([tiny.X], [], outputs=("x",)),
    "an unknown operator": lambda: tiny.build([tiny.X, tiny.T("y")], [tiny.Op("TANH", ("x",), ("y",), 99)]),
    "many operators with long names": lambda: many_operators(20_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_the_command_answers_hostile_files_in_little_memory(name, tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(HOSTILE[name]())
    code = (
        # Not ru_maxrss, which a process inherits from the one that forked it.
        "import re, sys\nfrom tflite_edge.cli import main\ncode = main()\n"
        "peak = re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())\n"
        "print(int(peak[1]) * 1024, file=sys.stderr)\n"
        "sys.exit(code)"
    )
    argv = [sys.executable, "-c", code, "inspect", str(path), "--format", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 3), done.stderr[-500:]
    assert "Traceback" not in done.stderr
    assert int(done.stderr.split()[-1]) < MOST_MEMORY_BYTES
    assert (done.returncode == 0) == done.stdout.startswith("{")
