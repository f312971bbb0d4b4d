"""TFLite's metadata: written, read back, listed by `unzip`, and no byte of a stranger's breaks the reading."""

import importlib.util
import io
import shutil
import struct
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flatbuffer import harm, real, tiny
from tests.flatbuffer.tiny import Op, T
from tflite_edge.flatbuffer import appended, inspect, metadata
from tflite_edge.flatbuffer.edit import Node, add_buffer, dump, load
from tflite_edge.flatbuffer.embed import About, embed
from tflite_edge.records.errors import DataError, ModelError
from tflite_edge.records.preprocess import NORMALIZATIONS, Preprocess
from tflite_edge.targets.proof import prove

DATA = real.PATH.read_bytes()
IMAGE = Preprocess((12, 14), 3, "crop", "box", *NORMALIZATIONS["imagenet-torch"])
ABOUT = About("small", "small: digits", "0123456789ab", ("zero", "one", "zwei", "drei"), IMAGE)
WHOLE = embed(DATA, ABOUT)


def test_what_is_written_is_read_back():
    found = inspect(WHOLE).file.described
    assert (found.name, found.description, found.version) == ("small", "small: digits", "0123456789ab")
    assert (found.author, found.license, found.why) == ("", "", "")
    (image,), (scores,) = found.inputs, found.outputs
    assert (image.colour, image.size) == ("RGB", (12, 14))
    assert image.mean == pytest.approx(IMAGE.mean, rel=1e-6)
    assert image.std == pytest.approx(IMAGE.std, rel=1e-6)
    for channel in range(3):
        assert image.low[channel] == pytest.approx(-IMAGE.mean[channel] / IMAGE.std[channel], rel=1e-6)
        assert image.high[channel] == pytest.approx((255 - IMAGE.mean[channel]) / IMAGE.std[channel], rel=1e-6)
    assert scores.files == ("labels.txt",)
    assert found.files == (metadata.AppendedFile("labels.txt", len(b"zero\none\nzwei\ndrei\n")),)
    assert inspect(DATA).file.described is None


def test_nothing_else_of_the_model_changes_and_the_same_goes_in_as_the_same_bytes():
    before, after = inspect(DATA), inspect(WHOLE)
    for name in ("scheme", "inputs", "outputs", "signatures", "operators", "weights", "nodes", "tensors"):
        assert getattr(before, name) == getattr(after, name)
    assert after.file.metadata == (*before.file.metadata, metadata.NAME)
    assert embed(DATA, ABOUT) == WHOLE
    again = inspect(embed(WHOLE, replace(ABOUT, name="other"))).file  # replaced, not piled up
    assert (again.described.name, again.metadata) == ("other", after.file.metadata)
    assert again.size_bytes < len(WHOLE) + 100
    assert len(WHOLE) - len(DATA) < 2048


@pytest.mark.skipif(not shutil.which("unzip"), reason="needs unzip")
def test_unzip_lists_and_gives_the_labels_without_a_complaint(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(WHOLE)
    done = subprocess.run(["unzip", "-p", path, "labels.txt"], capture_output=True, check=True, timeout=30)
    assert (done.stdout, done.stderr) == (b"zero\none\nzwei\ndrei\n", b"")
    with zipfile.ZipFile(path) as archive:
        assert archive.infolist()[0].compress_type == zipfile.ZIP_STORED  # all that the Task Library reads


def test_every_runtime_answers_as_before_from_a_path(tmp_path):
    (tmp_path / "plain.tflite").write_bytes(DATA)
    (tmp_path / "whole.tflite").write_bytes(WHOLE)
    proofs = prove(str(tmp_path / "plain.tflite"), str(tmp_path / "whole.tflite"), runs=5)
    assert [proof.different for proof in proofs if proof.result] == [""] * len([p for p in proofs if p.result])
    assert any(proof.result and proof.result.signatures for proof in proofs)


FROM_BYTES = """
import importlib, sys
import numpy as np
runtime = importlib.import_module(sys.argv[1] + ".interpreter")
answers = []
for path in sys.argv[2:]:
    interpreter = runtime.Interpreter(model_content=open(path, "rb").read())
    interpreter.allocate_tensors()
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    values = np.random.default_rng(0).integers(-128, 127, source["shape"]).astype(source["dtype"])
    interpreter.set_tensor(source["index"], values)
    interpreter.invoke()
    answers.append(interpreter.get_tensor(sink["index"]).tobytes())
print(answers[0] == answers[1] and any(answers[0]))
"""


@pytest.mark.parametrize("runtime", real.RUNTIMES)
def test_every_runtime_answers_as_before_from_bytes(runtime, tmp_path):
    if importlib.util.find_spec(runtime) is None:
        pytest.skip(f"{runtime} is not installed")
    (tmp_path / "plain.tflite").write_bytes(DATA)
    (tmp_path / "whole.tflite").write_bytes(WHOLE)
    argv = [sys.executable, "-c", FROM_BYTES, runtime, tmp_path / "plain.tflite", tmp_path / "whole.tflite"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.stdout == "True\n", done.stderr


def test_outputs_go_by_their_signature_s_names_in_the_order_of_the_subgraph():
    made = tiny.model(
        [T("x"), T("p"), T("q"), T("r")],
        [Op("TANH", ("x",), ("p",)), Op("RELU", ("x",), ("q",)), Op("ABS", ("x",), ("r",))],
        outputs=("r", "p", "q"),
    )
    signature = made.signatureDefs[0]
    signature.outputs = signature.outputs[::-1]  # by name or as it comes: the signature's own order is another
    whole = embed(tiny.pack(made), ABOUT)
    facts = inspect(whole)
    assert [tensor.name for tensor in facts.outputs] == ["r", "p", "q"]
    assert [tensor.name for tensor in facts.file.described.outputs] == ["arg_r", "arg_p", "arg_q"]
    assert facts.signatures[0].outputs == ("arg_q", "arg_p", "arg_r")
    assert [tensor.files for tensor in facts.file.described.outputs] == [(), (), ()]  # whose labels are they?


def test_values_that_are_no_image_and_a_model_without_signature():
    made = tiny.model([T("x"), T("y")], [Op("TANH", ("x",), ("y",))])
    made.signatureDefs = None
    whole = embed(tiny.pack(made), About("n", "", "", (), Preprocess(mean=(3.0,), std=(2.0,))))
    found = inspect(whole).file.described
    assert [tensor.name for tensor in (*found.inputs, *found.outputs)] == ["x", "y"]
    assert (found.inputs[0].mean, found.inputs[0].std, found.inputs[0].size) == ((3.0,), (2.0,), ())
    assert appended.split(whole)[1] == {}


def broken(blob):
    """A model with these bytes for its metadata."""
    tree = load(DATA)
    tree["metadata"].append(Node("Metadata", {"name": b"TFLITE_METADATA", "buffer": add_buffer(tree, blob)}))
    return dump(tree)


BLOB = next(b["data"] for b in load(WHOLE)["buffers"] if b.get("data", b"")[4:8] == metadata.IDENTIFIER)


@given(st.one_of(st.binary(max_size=300), harm.mutations(BLOB)))
def test_metadata_of_any_bytes_are_read_or_said_not_to_be(blob):
    found = metadata.decode(memoryview(blob), memoryview(DATA))
    assert found is not None
    numbers = [n for t in (*found.inputs, *found.outputs) for n in (*t.mean, *t.std, *t.low, *t.high)]
    assert np.isfinite(numbers).all()
    assert len(found.description) <= 300


def test_damaged_metadata_do_not_hide_the_model():
    assert "TFLITE_METADATA: " in inspect(broken(b"\xff" * 40)).file.described.why
    assert inspect(broken(b"")).file.described.why
    nan = struct.pack("<f", float("nan"))
    assert inspect(broken(BLOB.replace(struct.pack("<f", IMAGE.mean[1]), nan))).file.described.inputs[0].mean == ()


@given(st.data())
def test_an_archive_of_any_bytes_is_read_or_refused(data):
    zipped = WHOLE[WHOLE.index(b"PK\x03\x04") :]
    mutated = bytearray(zipped)
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(zipped) - 1), st.integers(0, 255)), max_size=6)):
        mutated[at] = value
    try:
        model, files = appended.split(DATA + bytes(mutated))
    except ModelError as error:
        assert error.evidence  # noqa: PT017 - both are answers
    else:
        assert all(".." not in name for name in files)
        assert (DATA + bytes(mutated)).startswith(bytes(model))


def zipped(*entries, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO(DATA)
    with zipfile.ZipFile(buffer, "a", method) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def test_weights_that_hold_the_letters_of_an_archive_by_chance_are_no_archive():
    for unlucky in (DATA + appended.END + bytes(100), DATA + appended.END, DATA + appended.END + bytes(19)):
        assert appended.split(unlucky) == (unlucky, {})
        assert appended.split(appended.append(unlucky, {"a": b"b"})) == (unlucky, {"a": b"b"})


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../b", "a\\..\\b", "a//b", ".", "\x1b[2J"])
def test_names_that_lead_outside_are_refused_and_said(name):
    evil = zipped((name, b"x"))
    with pytest.raises(ModelError, match="cannot be read"):
        appended.split(evil)
    assert "leads out of a folder" in inspect(evil).file.described.why


def test_bombs_are_refused_before_they_are_unpacked():
    for evil in (zipped(("zeros", bytes(appended.MOST_BYTES + 1))), zipped(*[(f"{n}", b"") for n in range(65)])):
        assert len(evil) < len(DATA) + 100_000
        with pytest.raises(ModelError, match="cannot be read") as refused:
            appended.split(evil)
        assert "it holds more than" in refused.value.evidence
    many = zipped(*[(f"{n:0100}", b"") for n in range(1_000)])
    with pytest.raises(ModelError, match="cannot be read") as refused:
        appended.split(many)
    assert "its directory takes" in refused.value.evidence
    lying = bytearray(zipped(("zeros", bytes(1 << 20))))
    for at in (lying.index(b"PK\x01\x02") + 24, lying.index(b"PK\x03\x04") + 22):  # the size that is claimed
        struct.pack_into("<I", lying, at, 10)
    with pytest.raises(ModelError, match="cannot be read"):
        appended.split(bytes(lying))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_packings_than_deflate_are_refused(method):
    """Damaged ones raise what other modules raise, and a board's Python may lack these."""
    for evil in (zipped(("labels.txt", b"a\n"), method=method), broken_after(zipped(("a", b"a"), method=method))):
        with pytest.raises(ModelError, match="cannot be read") as refused:
            appended.split(evil)
        assert "deflate" in refused.value.evidence


def broken_after(archive):
    place = archive.index(b"PK\x03\x04") + 31  # behind the header and the name
    return archive[:place] + b"\xff" * 8 + archive[place + 8 :]


def test_an_archive_that_ends_twice_is_refused():
    """Its first record says that the second is its comment: of two readers each would find other files."""
    one = zipped(("labels.txt", b"good\n"))
    other = zipped(("labels.txt", b"evil\n"))[len(DATA) :]
    both = bytearray(one + other)
    struct.pack_into("<H", both, len(one) - 2, len(other))
    with pytest.raises(ModelError, match="cannot be read") as refused:
        appended.split(bytes(both))
    assert "2 records" in refused.value.evidence


def test_folders_of_an_archive_are_no_files():
    whole = zipped(("extra/", b""), ("extra/labels.txt", b"a\n"))
    assert appended.split(whole) == (DATA, {"extra/labels.txt": b"a\n"})


@pytest.mark.parametrize("label", ["two\nlines", "a\r", "\udcff"])
def test_labels_that_are_no_lines_are_refused(label):
    with pytest.raises(DataError, match="has no name that a line can hold"):
        replace(ABOUT, labels=("one", label))
