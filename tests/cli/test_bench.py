"""`bench` through the installed command."""

import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.flatbuffer.test_prefix import residual
from tests.harness import tiny
from tflite_edge.cli.duration import Counts, Duration


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "residual.tflite"
    path.write_bytes(residual())
    return path


def test_the_plain_benchmark_keeps_its_keys(edge, model):
    document = edge.json("bench", model, "--runs", "5")
    assert document["on"] == "local"
    assert {"median_s", "samples_s", "init_s", "first_s", "p90_s", "p99_s", "spread", "stable"} <= set(document)
    assert document["threads"] == 1
    assert set(document["sensors"]) == {"cores", "before", "after", "trouble"}
    assert document["energy"] is None


def test_a_missed_pace_is_degraded_and_says_what_to_do(edge, model):
    done = edge("bench", model, "--period", "1us", "--for", "50ms", code=1)
    assert "deadlines were missed" in done.stdout
    assert "do: " in done.stdout
    assert done.stdout.rstrip().endswith("verdict: degraded")
    assert max(map(len, done.stdout.splitlines())) <= 100
    document = edge.json("bench", model, "--period", "1us", "--for", "50ms", code=1)
    assert document["on"] == "local"
    assert document["realtime"]["misses"] > 0
    assert document["findings"][0]["exit_code"] == 1


def test_operators(edge, model):
    document = edge.json("bench", model, "--operators")
    assert document["on"] == "local"
    assert [one["name"] for one in document["profile"]["operators"]] == ["LOGISTIC", "MUL", "ADD", "TANH", "SUB"]
    done = edge("bench", model, "--operators")
    assert "LOGISTIC" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_threads_side_by_side(edge, model):
    document = edge.json("bench", model, "--threads", "1,2", "--runs", "5")
    assert document["on"] == "local"
    assert [cell["threads"] for cell in document["matrix"]["cells"]] == [1, 2]
    assert document["matrix"]["why"]


def test_a_batch(edge, model, tmp_path):
    assert edge.json("bench", model, "--batch", "4", "--runs", "5")["outputs"][0]["shape"] == [4, 4]
    (tmp_path / "batch.tflite").write_bytes(tiny.unary("RELU", (4, 3)))
    assert "cannot take 2 images at once" in edge("bench", tmp_path / "batch.tflite", "--batch", "2", code=3).stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--period", "33"], "'33' is no duration"),
        (["--period", "0ms"], "no time at all"),
        (["--period", "9" * 400 + "s"], "longer than any number"),
        (["--period", "1parsec"], "us, ms, s, m, min, h"),
        (["--threads", "0,2"], "whole numbers of 1 and more"),
        (["--threads", "two"], "whole numbers of 1 and more"),
        (["--for", "3s"], "--for is how long --period is kept"),
        (["--period", "33ms", "--energy"], "--period and --energy are measurements of their own"),
        (["--operators", "--threads", "1,2"], "--operators and several"),
        (["--period", "33ms", "--batch", "2"], "--batch is for plain benchmarks"),
    ],
)
def test_bad_options(edge, model, options, says):
    assert says in edge("bench", model, *options, code=2).stderr


def test_more_periods_than_can_be_kept(edge, model):
    assert "are the most" in edge("bench", model, "--period", "1us", "--for", "1h", code=3).stderr


@pytest.mark.parametrize(
    ("text", "seconds"), [("33ms", 0.033), ("60s", 60.0), ("2m", 120.0), ("1.5 h", 5400.0), (".5s", 0.5)]
)
def test_durations(text, seconds):
    assert Duration().convert(text, None, None) == pytest.approx(seconds)


def test_counts():
    assert Counts().convert("4, 1,4", None, None) == [4, 1]


@pytest.mark.slow  # a quarter of a minute of waiting
def test_energy_of_a_command(edge, model):
    done = edge("bench", model, "--power-command", "echo 5.0V 0.5A", "--runs", "5")
    assert "idle W" in done.stdout
    assert "2.50" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


@pytest.mark.parametrize(
    "options", [["--batch", "2"], ["--energy"], ["--power-command", "echo 2W"], ["--runs", "50"], ["--warmups", "0"]]
)
def test_an_emulated_board_is_not_asked_for_times(edge, model, options):
    """Also where the option has the value that it has by default."""
    said = edge("bench", model, "--on", "emulator:pi4", *options, code=2).stderr
    assert f"{options[0]} cannot be had of emulator:pi4" in said
    assert "--on ssh://USER@HOST" in said


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_power_command_is_left_behind(edge, model, tmp_path, stop):
    """Neither the command nor what it started, nor what waits for the harness's end; nor the harness itself."""
    wrote = tmp_path / "pid"
    meter = f"sleep 1000 & echo $! $$ > {wrote}.part; mv {wrote}.part {wrote}; while :; do echo 2W; sleep 0.1; done"
    bench = subprocess.Popen(
        [edge.path, "bench", model, "--power-command", meter], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    until = time.monotonic() + 60
    while not wrote.exists() and bench.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    assert bench.poll() is None, bench.communicate()[0]
    group = int(wrote.read_text().split()[1])
    assert alive(group)
    bench.send_signal(stop)
    bench.communicate(timeout=30)
    until = time.monotonic() + 10
    while alive(group) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(group)


def alive(group):
    """The processes of a group, but for those that nobody has reaped."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, owner = stat.read_text().rpartition(")")[2].split()[:3]
            if int(owner) == group and state != "Z":
                found.append(stat.parent.name)
    return found
