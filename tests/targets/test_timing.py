"""Pace, operators, threads, batches, sensors and energy through the real harness in child processes."""

import numpy as np
import pytest

from tests.flatbuffer.test_prefix import residual
from tests.harness import machine
from tflite_edge.records.errors import MissingError, ModelError, UsageError
from tflite_edge.records.job import Job, cores
from tflite_edge.targets.local import Local
from tflite_edge.targets.matrix import ROUNDS, matrix


def job(models, name, **changes):
    return Job("bench", str(models / f"{name}.tflite"), warmups=1, runs=10, min_seconds=0.0, **changes)


def test_the_sensors_of_a_pi_are_told_with_its_times(models, tmp_path):
    result = Local().bench(job(models, "dense", root=machine.pi(tmp_path, throttled="0x4")))
    assert result.sensors.after.governor == "ondemand"
    assert result.sensors.before.throttled_now == ["throttled"]
    assert not result.stable
    assert "the board is held back: throttled" in result.stability
    assert result.energy is None


def test_energy_comes_back(models, tmp_path):
    result = Local().bench(job(models, "dense", energy=True, energy_s=0.6, power_command="echo 3 W"))
    assert result.energy.idle_w == result.energy.active_w == 3.0
    assert result.energy.joules == 0.0
    assert result.energy.inferences > 0


def test_a_pace_is_kept(models, runtime):
    result = Local().realtime(job(models, "dense", runtime=runtime, period_s=0.02, duration_s=0.5))
    assert (result.periods, result.duration_s) == (25, 0.5)
    assert len(result.latencies_s) == len(result.lateness_s) == len(result.starts) == 25 - result.skipped
    assert result.misses == result.late + result.skipped
    assert result.p50_s == pytest.approx(np.median(result.latencies_s))
    assert min(result.lateness_s) >= 0


def test_a_pace_that_cannot_be_kept(models):
    result = Local().realtime(job(models, "dense", period_s=1e-6, duration_s=0.05))
    assert result.periods == 50_000
    assert result.misses > 1000


def test_every_operator_has_a_time(runtime, tmp_path):
    path = tmp_path / "residual.tflite"
    path.write_bytes(residual())
    result = Local().profile(Job("bench", str(path), runtime=runtime, warmups=1))
    assert [(one.index, one.name) for one in result.operators] == [
        (0, "LOGISTIC"), (1, "MUL"), (2, "ADD"), (3, "TANH"), (4, "SUB"),
    ]  # fmt: skip
    # Pooled medians of neighbours telescope: the operators and the empty model are the whole one.
    assert result.empty_s + sum(one.seconds for one in result.operators) == pytest.approx(result.total_s)
    assert min(one.noise_s for one in result.operators) >= 0
    assert result.total_s > 0


def test_a_file_that_is_no_model_cannot_be_cut(models, tmp_path):
    (tmp_path / "x.tflite").write_bytes(b"no model at all")
    with pytest.raises(ModelError, match="not a TFLite model"):
        Local().profile(Job("bench", str(tmp_path / "x.tflite")))


def test_settings_in_turns(models):
    told: list[tuple[int, int]] = []
    more = cores() + 1
    result = matrix(
        Local(), job(models, "relu"), [1, more], [1, 3], deadline_s=60, on_progress=lambda *at: told.append(at)
    )
    assert [(cell.threads, cell.batch) for cell in result.cells] == [(1, 1), (more, 1), (1, 3), (more, 3)]
    assert all(len(cell.rounds_s) == ROUNDS for cell in result.cells)
    assert result.cells[2].bench.inputs[0].shape[0] == 3
    assert result.cells[2].per_image_s == result.cells[2].median_s / 3
    assert result.recommended in {(1, 1), (1, 3), (more, 1), (more, 3)}
    assert result.notes[0].startswith(f"{more} threads on ")
    assert told[-1] == (12, 12)


def test_a_fixed_batch_is_refused(models, runtime):
    with pytest.raises(ModelError, match="cannot take 2 images at once") as caught:
        Local().bench(job(models, "batch", runtime=runtime, batch=2))
    assert "first axis is no batch of one" in caught.value.evidence


def test_an_emulated_clock_measures_nothing(models):
    class Emulated(Local):
        name, emulated = "emulator:pi4", True

    for measure in (Emulated().realtime, Emulated().profile):
        with pytest.raises(UsageError, match="emulator:pi4 says nothing about the board"):
            measure(job(models, "dense", period_s=0.01))


def test_a_python_that_is_not_there(models):
    with pytest.raises(MissingError):
        Local("/no/such/python").realtime(job(models, "dense", period_s=0.01, duration_s=0.1))
