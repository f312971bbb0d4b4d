"""The schedule with a clock that tests set, and the numbers made of known frames."""

import numpy as np
import pytest

from tflite_edge.harness.realtime import Frame, drift_of, keep_pace, next_due, summary
from tflite_edge.records.errors import RecipeError
from tflite_edge.records.job import periods_of


class Clock:
    """Time passes only by sleeping and by working; waking up is `late` seconds late."""

    def __init__(self, late=0.0):
        self.now, self.late = 100.0, late

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds + self.late


def pace(works, period, periods, late=0.0):
    clock, work = Clock(late), iter(works)

    def frame():
        clock.now += next(work)

    return keep_pace(frame, period, periods, clock, clock.sleep)


def test_lateness_does_not_add_up():
    frames = pace([0.004] * 50, 0.01, 50, late=0.001)
    assert [frame.number for frame in frames] == list(range(50))
    assert frames[-1].start_s == pytest.approx(0.491)
    found = summary(frames, 0.01, 50)
    assert (found["late"], found["skipped"], found["misses"]) == (0, 0, 0)
    assert found["lateness_max_s"] == pytest.approx(0.001)
    assert found["p50_s"] == pytest.approx(0.004)


def test_a_slow_frame_misses_and_the_periods_it_covers_are_skipped():
    frames = pace([0.004, 0.025, 0.004, 0.004], 0.01, 6)
    assert [frame.number for frame in frames] == [0, 1, 4, 5]  # 0.01 to 0.035: due times 2 and 3 pass meanwhile
    found = summary(frames, 0.01, 6)
    assert (found["late"], found["skipped"], found["misses"], found["miss_share"]) == (1, 2, 3, 0.5)
    assert found["starts"] == [0, 1, 4, 5]


def test_next_due():
    assert next_due(0, 0.005, 0.01) == 1
    assert next_due(0, 0.01, 0.01) == 1  # just in time
    assert next_due(3, 0.0701, 0.01) == 8


def test_the_tail_is_not_made_up():
    few = summary([Frame(i, 0.01 * i, 0.01 * i + 0.002) for i in range(999)], 0.01, 999)
    assert few["p999_s"] is None
    assert "999 ran" in few["p999_why"]
    many = summary([Frame(i, 0.01 * i, 0.01 * i + (0.002 if i else 0.009)) for i in range(2000)], 0.01, 2000)
    assert many["p999_s"] == pytest.approx(np.percentile([0.009] + [0.002] * 1999, 99.9))


def test_drift_compares_fifths_and_from_five_minutes_on_minutes():
    starts = np.arange(0.0, 10.0, 0.1)
    drift, part = drift_of(starts, np.where(starts < 5, 1.0, 1.5), 10.0)
    assert (drift, part) == (0.5, 2.0)
    starts = np.arange(0.0, 600.0)
    drift, part = drift_of(starts, np.where(starts < 60, 1.0, 2.0), 600.0)
    assert (drift, part) == (1.0, 60.0)


def test_whole_periods():
    assert periods_of(0.02, 60.0) == 3000
    assert periods_of(0.033, 60.0) == 1818
    assert periods_of(0.1, 0.3) == 3
    for wrong in ((2.0, 1.0), (0.0, 1.0), (float("nan"), 1.0)):
        with pytest.raises(RecipeError, match="no period"):
            periods_of(*wrong)
    with pytest.raises(RecipeError, match="are the most"):
        periods_of(1e-6, 60.0)
