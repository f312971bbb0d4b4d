"""`tflite-edge search` as users run it: real trials, kills, a real Dask cluster, and what is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tflite_edge.cli.quantity import Bytes, Latency

REFUSED = [
    (["mobilenet", "--max-bytes", "many"], 2, "no size"),
    (["mobilenet", "--max-bytes", "9" * 400], 2, "no size"),
    (["mobilenet", "--max-latency", "9" * 400 + "ms@local"], 2, "longer than any number"),
    (["mobilenet", "--max-drop", "inf"], 2, "must be a number"),
    (["mobilenet", "--max-latency", "10"], 2, "no duration"),
    (["mobilenet", "--max-latency", "10ms@pi9"], 2, "no board 'pi9'"),
    (["mobilenet", "--max-latency", "10ms@pi5"], 2, "no latency can be predicted for pi5"),
    (["mobilenet", "--max-latency", "10ms@pi4"], 4, "tflite-edge emulator install pi4"),
    (["mobilenet", "--max-drop", "-1"], 2, "max_drop"),
    (["mobilenet", "--on", "ssh://pi@nowhere"], 2, "--devices ssh://pi@nowhere"),
    (["mobilenet", "--devices", "local"], 2, "no board behind SSH"),
    (["mobilenet", "--devices", "ssh://a", "--max-latency", "1ms@pi4"], 2, "leave @ away"),
    (["mobilenet", "--workers", "2", "--max-latency", "1ms"], 2, "would disturb what is measured"),
    (["mobilenet", "--scheduler", "tcp://127.0.0.1:1", "--workers", "2"], 2, "one of them"),
    (["mobilnet"], 3, "did you mean 'mobilenet'"),
    (["nothing.h5", "--data", "digits"], 3, "no model file"),
    (["resnet8", "--scheduler", "tcp://127.0.0.1:1"], 5, "no Dask scheduler answers"),
    (["resnet8", "--storage", "nonsense"], 2, "no storage"),
    (["resnet8", "--mlflow", "ftp://somewhere"], 2, "no place for MLflow's runs"),
]


@pytest.mark.parametrize(("arguments", "code", "word"), REFUSED)
def test_what_cannot_be_is_refused_at_once(edge, tmp_path, arguments, code, word):
    done = edge("search", *arguments, "-o", tmp_path / "out", code=code)
    assert word in done.stderr
    assert not list(tmp_path.rglob("search.json"))


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("200k", 200_000), ("1.5M", 1_500_000), ("195KiB", 199_680), ("7", 7), ("2 kb", 2000), ("0.57k", 570)],
)
def test_sizes(text, bytes_):
    assert Bytes().convert(text, None, None) == bytes_


@pytest.mark.parametrize(
    ("text", "latency"),
    [("10ms@pi4", (0.01, "pi4")), ("2s", (2.0, "")), ("5ms@ssh://pi@host:22", (0.005, "ssh://pi@host:22"))],
)
def test_latencies(text, latency):
    assert Latency().convert(text, None, None) == latency
    assert Latency().convert("1ms@emulator:pi4", None, None) == (0.001, "pi4")


def until(holds, process, seconds=200):
    end = time.monotonic() + seconds
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def ended(out):
    """How many trials search.json holds."""
    try:
        return len(json.loads((out / "search.json").read_text())["trials"])
    except FileNotFoundError:
        return 0


def workers_of(process):
    """Children of a process, by their numbers."""
    found = []
    for path in Path(f"/proc/{process.pid}/task").glob("*/children"):
        found += [int(number) for number in path.read_text().split()]
    return found


@pytest.fixture
def asked(model_file, image_folder):
    return ["search", model_file, "--data", image_folder, "--tune-epochs", "1", "--trials", "2"]


@pytest.mark.slow
def test_a_killed_search_goes_on_and_what_it_recommends_is_made_again_bit_for_bit(edge, asked, tmp_path):
    out = tmp_path / "out"
    with subprocess.Popen([edge.path, *asked, "-o", out], stderr=subprocess.PIPE, text=True) as run:
        until(lambda: ended(out) >= 1 and workers_of(run), run)
        refused = edge(*asked, "-o", out, code=2)
        assert "another search is working on" in refused.stderr
        run.send_signal(signal.SIGKILL)
    half = json.loads((out / "search.json").read_text())
    assert not half["complete"]
    edge(*asked, "--max-bytes", "1M", "-o", out, code=3)

    document = edge.json(*asked, "-o", out)
    before = [{**trial, "front": None, "file": None} for trial in half["trials"]]
    assert before == [{**trial, "front": None, "file": None} for trial in document["trials"][: len(before)]]
    assert [trial["number"] for trial in document["trials"]] == [0, 1, 2]
    assert [trial["origin"] for trial in document["trials"]] == ["reference", "plain int8", "trained int8"]
    assert {trial["state"] for trial in document["trials"]} == {"complete"}
    best = document["trials"][document["best"]]
    manifest = json.loads((out / best["file"]).with_name("manifest.json").read_text())
    assert manifest["models"][0]["sha256"] == best["sha256"]
    told = edge(*asked, "-o", out).stdout
    assert "recommended: trial" in told
    assert all(len(line) <= 100 for line in told.splitlines())

    fresh = {**os.environ, "TFLITE_EDGE_CACHE": str(tmp_path / "cache")}
    moved = out.rename(tmp_path / "moved")
    edge("convert", moved / "best.toml", "-o", tmp_path / "again", code=None, env=fresh)
    made = json.loads((tmp_path / "again" / "manifest.json").read_text())["models"]
    assert best["sha256"] in [model["sha256"] for model in made]


@pytest.mark.slow
def test_what_no_recipe_can_keep_ends_after_the_probe(edge, asked, tmp_path):
    done = edge(*asked, "--max-bytes", "100", "-o", tmp_path, code=1)
    assert "no recipe of the space keeps the budget" in done.stdout
    assert "do: --max-bytes" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds busy workers in /proc")
def test_workers_and_schedulers_may_die(edge, asked, tmp_path):
    out, place = tmp_path / "out", tmp_path / "scheduler.json"
    dask = [sys.executable, "-m"]
    options = ["--scheduler-file", place, "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with ExitStack() as stack:

        def start(*argv, **more):
            process = stack.enter_context(subprocess.Popen(list(map(str, argv)), cwd=tmp_path, **more))
            stack.callback(process.kill)
            return process

        scheduler = start(*dask, "distributed.cli.dask_scheduler", *options, "--port", "0", **quiet)
        until(place.exists, scheduler)
        address = json.loads(place.read_text())["address"]
        worker = [*dask, "distributed.cli.dask_worker", *options, "--nthreads", "1", "--no-nanny"]
        workers = [start(*worker, **quiet) for _ in range(2)]
        command = [edge.path, *asked, "-o", out, "--scheduler", address, "--format", "json"]
        run = start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until(lambda: ended(out) >= 1 and any(workers_of(one) for one in workers), run)
        busy = next(one for one in workers if workers_of(one))
        busy.kill()
        answer, talk = run.communicate(timeout=300)
        assert run.returncode == 0, talk
        assert [trial["state"] for trial in json.loads(answer)["trials"]] == ["complete"] * 3
        assert busy.wait(timeout=10) == -signal.SIGKILL

        more = [*command, "--trials", "3"]
        run = start(*more, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        left = next(one for one in workers if one is not busy)
        until(lambda: workers_of(left), run)
        scheduler.kill()
        _, talk = run.communicate(timeout=120)
        assert run.returncode == 5, talk
        assert f"the Dask scheduler at {address} was lost" in talk
        assert "Traceback" not in talk, talk
        assert ended(out) == 3
