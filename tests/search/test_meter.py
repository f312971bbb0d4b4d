"""Latency of files: measured on boards that may go away, predicted of an emulated one."""

import getpass
import queue
import threading
from contextlib import closing

import pytest

from tflite_edge.artifact import uses
from tflite_edge.records.errors import TargetError, UsageError
from tflite_edge.records.search import Budget
from tflite_edge.search.meter import Meter
from tflite_edge.targets.machine import Machine


def read(meter, model, times=1):
    said = queue.Queue()
    for _ in range(times):
        meter.submit(model, 1, said.put)
    return [said.get(timeout=120) for _ in range(times)]


def test_this_machine_is_measured(dense):
    with closing(Meter(Budget(latency_on="local"))) as meter:
        (reading,) = read(meter, dense)
    assert reading.latency_s > 0
    assert (reading.kind, reading.on, reading.energy_mj) == ("measured", "local", None)


def test_a_file_that_does_not_run_has_no_latency_and_the_search_goes_on(tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"nothing of a model")
    with closing(Meter(Budget(latency_on="local"))) as meter:
        (reading,) = read(meter, broken)
    assert reading.latency_s is None
    assert reading.why


def test_a_board_that_is_gone_leaves_its_work_to_the_others_and_the_last_one_ends_the_search(server, dense):
    gone = f"ssh://{getpass.getuser()}@127.0.0.1:1"
    devices = [gone, server.url]
    with closing(Meter(Budget(latency_on=",".join(devices)), devices)) as meter:
        meter.has_meter = False
        assert {reading.on for reading in read(meter, dense, 3)} == {server.url}
        assert meter.left == 1
        server.stop()
        (error,) = read(meter, dense)
    assert isinstance(error, TargetError)


def test_a_board_measures_one_file_at_a_time(dense, monkeypatch):
    """Two boards are busy at once, and neither with two files."""
    busy, most, lock = {}, [], threading.Lock()

    def bench(self, job, *, deadline_s):
        with lock:
            busy[self.name] = busy.get(self.name, 0) + 1
            most.append(dict(busy))
        both.wait(timeout=30)
        with lock:
            busy[self.name] -= 1
        raise UsageError("no need to measure")

    both = threading.Barrier(2)
    monkeypatch.setattr(Machine, "bench", bench)
    devices = ["ssh://one", "ssh://two", "ssh://one"]
    with closing(Meter(Budget(latency_on=",".join(devices)), devices)) as meter:
        assert len(read(meter, dense, 6)) == 6
    assert max(count for seen in most for count in seen.values()) == 1
    assert any(sum(seen.values()) == 2 for seen in most)


@pytest.mark.slow
def test_a_board_s_latency_is_predicted_once_for_each_file(boards, converted, monkeypatch):
    monkeypatch.setenv("TFLITE_EDGE_CACHE", str(boards))
    out, document = converted
    model = next(out / one["file"] for one in document["models"] if one["mode"] == "int8")
    float16 = next(out / one["file"] for one in document["models"] if one["mode"] == "float16")
    with closing(Meter(Budget(max_latency_s=0.01, latency_on="pi4"))) as meter:
        (reading,) = read(meter, model)
        assert reading.kind == "predicted"
        assert reading.on == "pi4"
        assert 0 < reading.latency_s < 0.01
        before = uses["found"]
        assert read(meter, model) == [reading]
        assert uses["found"] == before + 1
        (unknown,) = read(meter, float16)
        assert unknown.latency_s is None
        assert "published figures" in unknown.why
