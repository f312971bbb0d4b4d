"""The bundle's program as the board starts it: one zipapp in a process of its own."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

pytestmark = pytest.mark.slow


def classify(folder, *arguments, code=0, data=b""):
    done = subprocess.run(
        [sys.executable, "-I", folder / "app.pyz", "--bundle", folder, *arguments],
        capture_output=True, input=data, timeout=120,
    )  # fmt: skip
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()


def test_images_folders_and_stdin_are_answered_in_json_lines(unpacked, image_folder):
    image = image_folder / "c-two" / "3.png"
    (answer,), _ = classify(unpacked, image)
    assert answer["image"] == str(image)
    assert set(answer) == {"image", "label", "score", "top", "ms"}
    assert answer["top"][0] == [answer["label"], answer["score"]]
    assert sum(score for _, score in answer["top"]) == pytest.approx(1, abs=0.02)
    (piped,), _ = classify(unpacked, "-", data=image.read_bytes())
    assert (piped["label"], piped["score"]) == (answer["label"], answer["score"])
    folder, _ = classify(unpacked, image_folder / "c-two")
    assert len(folder) == 40
    assert np.mean([line["label"] == "c-two" for line in folder]) > 0.9


def test_a_bad_image_is_a_line_and_the_others_go_on(unpacked, image_folder, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"DDS " + bytes(200))  # a format of Pillow's that cameras do not write
    lines, _ = classify(unpacked, bad, image_folder / "a-zero" / "0.png", tmp_path / "none.png", code=3)
    assert ["error" in line for line in lines] == [True, False, True]
    assert "not an image that can be read" in lines[0]["error"]


def test_the_smoke_test_and_what_breaks_it(unpacked):
    (told,), _ = classify(unpacked, "--smoke")
    assert told["verdict"] == "ok"
    assert told["largest_difference"] == 0
    with np.load(unpacked / "smoke.npz") as arrays:
        x, outputs = arrays["x"], arrays["outputs"]
    np.savez(unpacked / "smoke.npz", x=x, outputs=outputs[:, ::-1])
    _, error = classify(unpacked, "--smoke", code=3)
    assert "answers the smoke test differently here" in error


def test_other_bytes_other_labels_and_another_schema_are_refused(unpacked):
    card = json.loads((unpacked / "bundle.json").read_text())
    model = unpacked / card["model"]
    whole = model.read_bytes()
    model.write_bytes(whole[:-1] + b"x")
    assert "is not the model that was packed" in classify(unpacked, "--smoke", code=3)[1]
    model.write_bytes(whole)
    for change, says in (
        ({"labels": ["a"]}, "1 labels for a model of 4 classes"),
        ({"schema": 9}, "schema 9"),
        ({"spare": 5}, "cannot have 5 spare"),
        ({"runtime": "onnx"}, "unknown runtime"),
        ({"delegate": "gpu"}, "unknown delegate"),
        ({"extra": 1}, "unknown key"),
    ):
        (unpacked / "bundle.json").write_text(json.dumps({**card, **change}))
        assert says in classify(unpacked, "--info", code=3)[1]


def test_without_a_camera_s_program_it_says_which(unpacked, tmp_path):
    done = subprocess.run(
        [sys.executable, "-I", unpacked / "app.pyz", "--bundle", unpacked, "camera"],
        capture_output=True, timeout=60, env={"PATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 4
    assert b"rpicam-still" in done.stderr


def test_the_camera_s_program_gives_the_picture(unpacked, image_folder, tmp_path):
    image = image_folder / "b-one" / "5.png"
    program = tmp_path / "rpicam-still"
    program.write_text(f"#!/bin/sh\nexec /bin/cat {image}\n")
    program.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-I", unpacked / "app.pyz", "--bundle", unpacked, "camera"],
        capture_output=True, timeout=60, env={"PATH": str(tmp_path)},
    )  # fmt: skip
    (expected,), _ = classify(unpacked, image)
    assert json.loads(done.stdout)["top"] == expected["top"]


def serving(folder):
    """(child, its URL) once it takes connections; None where something outside killed it."""
    child = subprocess.Popen(
        [sys.executable, "-I", folder / "app.pyz", "--bundle", folder, "--serve", "0"],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    said = next((line for line in child.stderr if line.startswith("serving on ")), "")
    for _ in range(100):
        if said and child.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(said.rpartition(":")[2]))) == 0:
                    return child, said.split()[-1]
        elif child.poll() is not None:
            rest = child.communicate()[1]
            assert child.returncode < 0, f"it ended with {child.returncode} after {said!r}: {rest}"
            return None
        time.sleep(0.05)
    raise AssertionError(f"nothing listens after {said!r}")


@pytest.fixture
def server(unpacked):
    child, url = serving(unpacked) or serving(unpacked)
    yield url
    child.terminate()
    child.communicate(timeout=30)


# Whatever proxy the environment names, or named when another test opened its first URL.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(url, data=None, headers=None):
    try:
        with DIRECT.open(urllib.request.Request(url, data, headers or {}), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_server_answers_counts_and_refuses(server, unpacked, image_folder):
    assert server.startswith("http://127.0.0.1:")
    image = image_folder / "d-three" / "7.png"
    status, body = ask(f"{server}/classify", image.read_bytes())
    (expected,), _ = classify(unpacked, image)
    assert (status, json.loads(body)["top"]) == (200, expected["top"])
    assert ask(f"{server}/classify", b"no image")[0] == 400
    assert ask(f"{server}/classify", b"x", {"Content-Length": str(1 << 40)})[0] == 413
    assert ask(f"{server}/other")[0] == 404
    assert json.loads(ask(f"{server}/health")[1])["status"] == "ok"
    metrics = ask(f"{server}/metrics")[1]
    assert "classify_answers_total 1\n" in metrics
    assert "classify_refusals_total 2\n" in metrics
