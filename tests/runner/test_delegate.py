"""A Coral bundle's program with every kind of driver that a board may have: shared libraries made for it by gcc."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.harness import tiny
from tests.targets.edgetpu import with_code
from tflite_edge.deploy.build import open_build
from tflite_edge.deploy.bundle import ForDelegate, own_files
from tflite_edge.harness.runtime import Chosen
from tflite_edge.records.board import BOARDS
from tflite_edge.records.card import DELEGATES, EDGETPU_OP
from tflite_edge.runner import delegate

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")]

# The interface of tensorflow/lite/delegates/external, and of TfLiteDelegate (tensorflow/lite/core/c/common.h) as much
# as a delegate needs that takes no operator, and so leaves all of them to the CPU.
DRIVER = """
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
typedef struct Delegate {
  void* data;
  int (*prepare)(void*, struct Delegate*);
  void *from, *to, *release;
  int64_t flags;
  void* builder;
} Delegate;
static int prepare(void* context, Delegate* self) { return PREPARE; }
static Delegate made = {0, prepare, 0, 0, 0, 0, 0};
void* NAME(char** keys, char** values, size_t count, void (*report)(const char*)) { CREATE }
void tflite_plugin_destroy_delegate(void* self) {}
"""
SYMBOL = "tflite_plugin_create_delegate"
DRIVERS = {
    "works": ("return &made;", "0", SYMBOL),
    "talks": ('printf("hello\\n[\\"no\\"]\\nno end"); return &made;', "0", SYMBOL),
    "dies oddly": ("kill(getpid(), 40); return &made;", "0", SYMBOL),
    "no device": ('report("no Edge TPU is plugged in"); return 0;', "0", SYMBOL),
    "crashes": ("*(volatile int*)8 = 1; return &made;", "0", SYMBOL),
    "crashes with a model": ("return &made;", "(abort(), 0)", SYMBOL),
    "refuses the model": ("return &made;", "1", SYMBOL),
    "hangs": ("pause(); return &made;", "0", SYMBOL),
    "no delegate": ("return &made;", "0", "something_else"),
}


@pytest.fixture(scope="session")
def drivers(tmp_path_factory):
    """Name -> a folder with that libedgetpu.so.1."""
    root = tmp_path_factory.mktemp("drivers")
    for kind, (create, prepare, name) in DRIVERS.items():
        (root / kind).mkdir()
        source = DRIVER.replace("CREATE", create).replace("PREPARE", prepare).replace("NAME", name)
        argv = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", root / kind / "libedgetpu.so.1"]
        subprocess.run(argv, input=source.encode(), check=True, timeout=60)
    return root


COMPILED = "small_edgetpu.tflite"


@pytest.fixture(params=["ai-edge-litert", "tflite-runtime"])
def runtime(request):
    pytest.importorskip(request.param.replace("-", "_"))
    return request.param


@pytest.fixture
def bundle(converted, tmp_path):
    """Makes a Coral bundle as install.sh leaves it; the compiled model is one that such drivers take."""

    def make(runtime="ai-edge-litert", sha256="", compiled=True):
        folder = tmp_path / "bundle"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        build = open_build(converted[0])
        files = own_files(build, BOARDS["pi4"], runtime, ForDelegate("edgetpu", COMPILED, sha256))[1]
        for name, content in files.items():
            (folder / name).write_bytes(content)
        if compiled:
            (folder / COMPILED).write_bytes(with_code(build.model.read_bytes()))
        return folder

    return make


def classify(folder, *arguments, driver=None, code=0):
    env = {**os.environ, "LD_LIBRARY_PATH": str(driver or folder)}
    done = subprocess.run(
        [sys.executable, "-I", folder / "app.pyz", "--bundle", folder, *arguments],
        capture_output=True, text=True, timeout=120, env=env,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_every_delegate_that_a_card_may_name_has_a_library():
    assert tuple(delegate.LIBRARIES) == DELEGATES


def test_a_driver_that_works_is_used_on_every_runtime(bundle, drivers, runtime, image_folder):
    folder, image = bundle(runtime), image_folder / "c-two" / "3.png"
    (told,), talk = classify(folder, "--smoke", driver=drivers / "works")
    assert (told["verdict"], told["delegate"]) == ("ok", "libedgetpu.so.1")
    assert "why" not in told
    assert "warning: the CPU" not in talk
    (answer,), _ = classify(folder, image, driver=drivers / "works")
    (plain,), _ = classify(folder, image)
    assert answer["top"] == plain["top"]
    assert (answer["delegate"], plain["delegate"]) == ("libedgetpu.so.1", None)


def test_a_driver_that_prints_does_not_print_into_the_answers(bundle, drivers, image_folder):
    (answer,), talk = classify(bundle(), image_folder / "c-two" / "3.png", driver=drivers / "talks")
    assert (answer["label"], answer["delegate"]) == ("c-two", "libedgetpu.so.1")
    assert "no end" in talk


@pytest.mark.parametrize(
    ("driver", "why"),
    [
        (None, "libedgetpu.so.1 cannot be loaded"),
        ("no device", "finds no device it may use"),
        ("no delegate", "is no TFLite delegate"),
        ("crashes", "crashes under ai-edge-litert"),
        ("crashes with a model", "crashes under ai-edge-litert"),
        ("dies oddly", "(signal 40)"),
        ("refuses the model", "does not run on it"),
    ],
)
def test_the_cpu_answers_where_the_driver_does_not_and_says_why(bundle, drivers, image_folder, driver, why):
    place = drivers / driver if driver else None
    (answer,), talk = classify(bundle(), image_folder / "c-two" / "3.png", driver=place)
    assert answer["label"] == "c-two"
    assert answer["delegate"] is None
    assert why in answer["why"]
    assert f"warning: the CPU answers: {answer['why']}" in talk


def test_a_crash_is_caught_on_the_older_runtime_too(bundle, drivers, runtime):
    (told,), _ = classify(bundle(runtime), "--smoke", driver=drivers / "crashes")
    assert (told["verdict"], told["delegate"]) == ("ok", None)
    assert f"crashes under {runtime}" in told["why"]
    assert "SIGSEGV" in told["why"]


def test_a_driver_that_never_answers_is_given_up(drivers, tmp_path, monkeypatch):
    monkeypatch.setattr(delegate, "DEADLINE_S", 5.0)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(drivers / "hangs"))
    (tmp_path / "m.tflite").write_bytes(tiny.dense_int8())
    chosen = Chosen("ai-edge-litert", None, "auto", [])
    why = delegate._tried(chosen, str(tmp_path / "m.tflite"), *delegate.LIBRARIES["edgetpu"])
    assert why == "libedgetpu.so.1 did not answer within 5 s"


def test_no_module_of_the_folder_that_the_user_stands_in_is_run(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("open('ran', 'w')\nraise ImportError")
    monkeypatch.chdir(tmp_path)
    chosen = Chosen("ai-edge-litert", None, "auto", [])
    why = delegate._tried(chosen, "m.tflite", "libnone.so", {}, "none")
    assert "libnone.so cannot be loaded" in why
    assert not (tmp_path / "ran").exists()


def test_a_compiled_model_that_is_missing_or_another_is_said(bundle, drivers):
    (told,), _ = classify(bundle(compiled=False), "--info", driver=drivers / "works")
    assert f"{COMPILED} is not beside the model" in told["why"]
    folder = bundle()
    (folder / COMPILED).write_bytes(with_code(tiny.dense_int8()))
    (told,), _ = classify(folder, "--info", driver=drivers / "works")
    assert "takes or gives other tensors" in told["why"]


def test_a_model_that_was_not_compiled_is_not_said_to_be_answered_by_the_delegate(bundle, drivers, converted):
    folder = bundle()
    shutil.copy(open_build(converted[0]).model, folder / COMPILED)
    (told,), _ = classify(folder, "--smoke", driver=drivers / "works")
    assert (told["verdict"], told["delegate"]) == ("ok", None)
    assert told["why"] == f"{COMPILED} was not compiled for the Edge TPU: it has no {EDGETPU_OP}"


def test_a_compiled_model_whose_hash_is_known_must_have_it(bundle, drivers):
    folder = bundle(sha256="0" * 64)
    assert "is not the model that was packed" in classify(folder, "--smoke", driver=drivers / "works", code=3)[1]


def test_a_compiled_model_that_answers_otherwise_fails_the_smoke_test(bundle, drivers):
    folder = bundle()
    with np.load(folder / "smoke.npz") as arrays:
        x, outputs = arrays["x"], arrays["outputs"]
    np.savez(folder / "smoke.npz", x=x, outputs=outputs[:, ::-1])
    _, error = classify(folder, "--smoke", driver=drivers / "works", code=3)
    assert f"{COMPILED} answered on libedgetpu.so.1" in error
