"""What strip takes out, what it must leave, and who proves that the answers stay the same."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys

import numpy as np
import pytest

from tests.flatbuffer import real, tiny
from tflite_edge.flatbuffer import appended, inspect
from tflite_edge.flatbuffer.edit import dump, load
from tflite_edge.flatbuffer.strip import EDITS, strip
from tflite_edge.records.errors import MissingError, ModelError
from tflite_edge.targets.proof import prove

DATA = real.PATH.read_bytes()


def names(data):
    return {tensor["name"] for tensor in load(data)["subgraphs"][0]["tensors"] if "name" in tensor.fields}


@pytest.mark.parametrize("target", EDITS)
def test_the_file_is_smaller_and_holds_the_same_model(target):
    data, told = strip(real.PATH, target)
    assert len(data) == told.after_bytes < told.before_bytes == len(DATA)
    assert told.before_bytes - sum(one.bytes for one in told.removed) == told.after_bytes
    assert told.before_gzip_bytes - sum(one.gzip_bytes for one in told.removed) == told.after_gzip_bytes
    before, after = inspect(DATA), inspect(data)
    assert (after.scheme, after.operators, after.nodes, after.weights) == (
        before.scheme, before.operators, before.nodes, before.weights
    )  # fmt: skip
    # Scales and zero points are all there: ai-edge-litert refuses per-channel zero points that were cut to one.
    one, other = (load(each)["subgraphs"][0]["tensors"] for each in (DATA, data))
    for old, new in zip(one, other, strict=True):
        parts = [tensor["quantization"].fields if "quantization" in tensor.fields else {} for tensor in (old, new)]
        for name in ("scale", "zero_point", "quantized_dimension"):
            assert parts[0].get(name) == parts[1].get(name)


def test_for_a_pi_signatures_metadata_and_names_of_the_edge_stay():
    before, after = inspect(DATA), inspect(strip(DATA)[0])
    assert (after.signatures, after.file.entries, after.file.min_runtime_version) == (
        before.signatures, before.file.entries, before.file.min_runtime_version
    )  # fmt: skip
    assert (after.inputs[0].name, after.outputs[0].name) == (before.inputs[0].name, before.outputs[0].name)
    assert names(strip(DATA)[0]) == {b"serving_default_image:0", b"PartitionedCall:0"}


def test_for_a_microcontroller_they_go_but_not_what_micro_reads():
    tree = load(DATA)
    tree["metadata"][0]["name"] = b"OfflineMemoryAllocation"
    found = inspect(strip(dump(tree), "mcu")[0])
    assert (found.signatures, found.file.metadata) == ((), ("OfflineMemoryAllocation",))
    assert found.file.entries[0].size_bytes == inspect(DATA).file.entries[0].size_bytes
    assert not names(strip(DATA, "mcu")[0])
    assert len(strip(DATA, "mcu")[0]) < len(strip(DATA, "pi")[0])


def test_ranges_and_unused_buffers_go_and_open_axes_stay():
    made = tiny.model([tiny.T("x", "INT8", (1, 4), 1, signature=(-1, 4)), *tiny.quantized("INT8")[1:]], [tiny.DENSE])
    made.subgraphs[0].tensors[1].quantization.min = [-1.0] * 8
    made.buffers.append(tiny._buffer(b"nobody wants this"))
    data = strip(tiny.pack(made))[0]
    assert b"nobody wants this" not in data
    assert inspect(data).file.container.min_max_bytes == 0
    assert inspect(data).inputs[0].dynamic_axes == (0,)


def test_stripping_twice_changes_nothing():
    once = strip(DATA)[0]
    assert strip(once)[0] == once
    assert strip(once)[1].removed == ()


def test_appended_files_stay_for_a_pi_and_go_for_a_microcontroller():
    whole = appended.append(DATA, {"labels.txt": b"cat\ndog\n"})
    small, told = strip(whole)
    assert appended.split(small)[1] == {"labels.txt": b"cat\ndog\n"}
    assert told.before_bytes - sum(one.bytes for one in told.removed) == told.after_bytes == len(small)
    micro, told = strip(whole, "mcu")
    assert b"labels.txt" not in micro
    assert told.removed[1].cause == "files appended to the model"
    assert told.removed[1].bytes == len(whole) - len(DATA)
    broken = whole.replace(b"labels.txt", b"../bels.tx")
    with pytest.raises(ModelError, match="cannot be read"):
        strip(broken)
    assert strip(broken, "mcu")[0] == micro


@pytest.mark.parametrize("target", EDITS)
def test_the_proof_runs_on_every_runtime(target, tmp_path):
    path = tmp_path / "small.tflite"
    path.write_bytes(strip(real.PATH, target)[0])
    pack = tmp_path / "pack.npz"
    np.savez(pack, x=np.zeros((3, 12, 12, 3), np.uint8))
    proofs = prove(str(real.PATH), str(path), pack=str(pack), runs=4)
    ran = [proof for proof in proofs if proof.result]
    assert ran
    for proof in ran:
        assert (proof.different, proof.result.inputs) == ("", 7)
        assert proof.result.signatures == (("serving_default",) if target == "pi" else ())


def changed(path):
    """The model with one bit of its first kernel flipped."""
    tree = load(real.PATH)
    largest = max(tree["buffers"], key=lambda buffer: len(buffer.get("data", b"")))
    largest["data"] = bytes([largest["data"][0] ^ 0x40]) + largest["data"][1:]
    path.write_bytes(dump(tree))
    return path


def test_a_file_that_answers_otherwise_is_found_out(tmp_path):
    proofs = prove(str(real.PATH), str(changed(tmp_path / "other.tflite")), runs=20)
    assert all("output 0" in proof.different for proof in proofs if proof.result)


def test_other_edges_are_different_and_no_witness_is_an_error(tmp_path):
    path = tmp_path / "other.tflite"
    path.write_bytes(tiny.float_model())
    assert "inputs or outputs" in prove(str(real.PATH), str(path), runs=1)[0].different
    path.write_bytes(tiny.build([tiny.X, tiny.T("y")], [tiny.Op("", ("x",), ("y",), custom="Mine")]))
    with pytest.raises(ModelError, match=r"other\.tflite"):
        prove(str(real.PATH), str(path), runs=1)
    with pytest.raises(MissingError, match="no runtime here"):
        prove(str(path), str(real.PATH), runs=1)


def test_the_command(edge, tmp_path):
    out = tmp_path / "small.tflite"
    document = edge.json("strip", real.PATH, "-o", out)
    assert document["after_bytes"] == out.stat().st_size < document["before_bytes"]
    assert document["proofs"][0]["result"]["inputs"] == 20
    assert "already there" in edge("strip", real.PATH, "-o", out, code=2).stderr
    human = edge("strip", real.PATH, "-o", out, "--force", "--for", "mcu").stdout
    assert "bit for bit" in human
    assert out.stat().st_size < document["after_bytes"]
    assert stat.S_IMODE(out.stat().st_mode) == 0o644
    in_place = shutil.copy(real.PATH, tmp_path / "own.tflite")
    edge("strip", in_place, "-o", in_place, code=2)
    assert in_place.read_bytes() == DATA
    edge("strip", in_place, "-o", in_place, "--force")
    assert in_place.stat().st_size == document["after_bytes"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.tflite", "small.tflite"]
    (tmp_path / "bad.tflite").write_bytes(DATA[:100])
    assert "not a sound" in edge("strip", tmp_path / "bad.tflite", "-o", tmp_path / "x.tflite", code=3).stderr


def test_nothing_is_written_when_the_answers_differ(tmp_path):
    """The command with an edit that damages a kernel."""
    code = (
        "import sys\nfrom tflite_edge.flatbuffer import strip\n"
        "def damage(tree):\n    'damage'\n"
        "    largest = max(tree['buffers'], key=lambda buffer: len(buffer.get('data', b'')))\n"
        "    largest['data'] = bytes(len(largest['data']))\n"
        "strip.EDITS['pi'] += (damage,)\n"
        "from tflite_edge.cli import main\n"
        "sys.argv[1:] = ['strip', sys.argv[1], '-o', sys.argv[2], '--format', 'json']\nsys.exit(main())"
    )
    out = tmp_path / "out.tflite"
    done = subprocess.run([sys.executable, "-c", code, str(real.PATH), str(out)], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert (document["verdict"], document["out"]) == ("failed", None)
    assert not out.exists()
