"""The recommended setting and what is said about missed deadlines."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from tflite_edge.records.sensors import Sensors, Snapshot
from tflite_edge.records.timing import Cell, RealtimeResult, missed, recommend


def cell(threads, batch, per_image):
    return Cell(threads, batch, per_image * batch, 0.0, per_image, [], SimpleNamespace())


def test_fewest_threads_near_the_best():
    chosen, why = recommend([cell(1, 1, 10.0), cell(2, 1, 6.2), cell(4, 1, 6.0)])
    assert chosen.threads == 2
    assert "within 3.3% of the fastest (4 threads)" in why
    chosen, why = recommend([cell(1, 1, 10.0), cell(2, 1, 6.4), cell(4, 1, 6.0)])
    assert chosen.threads == 4
    assert why.startswith("the fastest per image")


def test_the_smaller_batch_of_equals():
    chosen, why = recommend([cell(1, 1, 10.2), cell(1, 4, 10.0), cell(2, 4, 9.9)])
    assert (chosen.threads, chosen.batch) == (1, 1)
    assert "batch 4" in why


RUN = RealtimeResult(
    runtime=SimpleNamespace(), threads=1, period_s=0.01, duration_s=1.0, periods=100, late=0, skipped=0, misses=0,
    miss_share=0.0, starts=[], latencies_s=[], lateness_s=[], p50_s=0.004, p99_s=0.005, p999_s=None, p999_why="",
    max_s=0.02, lateness_p99_s=0.0001, lateness_max_s=0.0002, spread=0.01, drift=0.0, part_s=0.2,
    sensors=Sensors(1, Snapshot(), Snapshot()),
)  # fmt: skip


def test_no_miss_no_finding():
    assert missed(RUN) == ()


@pytest.mark.parametrize(
    ("changes", "do"),
    [
        ({}, "rare outliers"),
        ({"p50_s": 0.02, "p99_s": 0.03}, "the model is too slow for this period"),
        ({"p99_s": 0.02}, "a period of 22 ms or longer"),
        ({"lateness_p99_s": 0.006, "lateness_max_s": 0.05}, "the system starts it up to 50 ms late"),
    ],
)
def test_a_miss_says_what_to_do(changes, do):
    (finding,) = missed(replace(RUN, late=1, skipped=2, misses=3, miss_share=0.03, **changes))
    assert finding.what == "3 of 100 deadlines were missed (3.00%)"
    assert "1 frames ended late and 2 were skipped" in finding.evidence
    assert do in finding.do
    assert finding.exit_code == 1
