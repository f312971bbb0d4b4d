"""Every chart, wide and narrow, of usual and of odd data: sound SVG, inside of its frame."""

import re
import xml.etree.ElementTree as ET

import pytest

from tflite_edge.report.figures import NARROW, WIDE
from tflite_edge.report.figures.bars import Column, Row, bars, shares
from tflite_edge.report.figures.lines import Axis, Progress, Step, Thread, parallel, progress
from tflite_edge.report.figures.matrix import counts_of, matrix, most_confused
from tflite_edge.report.figures.scatter import Panel, Point, best, scatter, x_scale
from tflite_edge.report.figures.spread import Band, Runs, bands, histograms

NS = "{http://www.w3.org/2000/svg}"
LONG = "ein sehr langer Name eines Faltungslayers mit <b>"


def some(value):
    return f"{value:.1f}"


CHARTS = {
    "scatter": lambda w: scatter(
        w, [Panel("a", "KiB", [Point(1, 2, "one"), Point(3, 4, LONG, "chosen", 3.5, 4.5)])], "%"
    ),
    "scatter of one": lambda w: scatter(w, [Panel("", "KiB", [Point(5, 0.0, "only")])], "%"),
    "scatter of equals": lambda w: scatter(w, [Panel("", "x", [Point(5, 1, str(n)) for n in range(9)])] * 2, "%"),
    "scatter with budgets": lambda w: scatter(
        w, [Panel("", "x", [Point(1, 1), Point(99, 2)], (50, "budget"))], "%", limit=(1.5, "b")
    ),
    "bars": lambda w: bars(
        w, [Column("a", some), Column("b", some, grid=True)], [Row(LONG, (1, None)), Row("x", (0, 9), True, "note")]
    ),
    "bars of zero": lambda w: bars(w, [Column("a", some)], [Row("x", (0,)), Row("", (None,))]),
    "shares": lambda w: shares(w, {LONG: {"a": 1, "b": 0, "c": 2}, "y": {"a": 3}}, "M"),
    "histograms": lambda w: histograms(
        w, [Runs("fast", [1, 1.1, 1.2, 30], [(1.1, "median 1.1")], True), Runs(LONG, [9, 9, 9])], "ms"
    ),
    "histogram of one": lambda w: histograms(w, [Runs("x", [0.5])], "ms"),
    "bands": lambda w: bands(w, [Band(LONG, 1, 0, 3, "extrapolated", True), Band("y", 2, 1.5, 2.5)], "ms"),
    "matrix": lambda w: matrix(w, ["a", LONG, "c"], {(0, 0): 5, (1, 2): 3, (2, 2): 1}, [0, 1, 2]),
    "progress": lambda w: progress(
        w, [Progress("drop", [Step(0, 3, False), Step(1, None, False), Step(2, 1, True, "chosen")], (2, "budget"))]
    ),
    "progress of nothing": lambda w: progress(w, [Progress("drop", [Step(0, None, False)])]),
    "parallel": lambda w: parallel(
        w,
        [
            Axis("alpha", [0.25, 0.5, None]),
            Axis("on", [True, False, True]),
            Axis("same", [1, 1, 1]),
            Axis("size", [[9, 9], [32, 32], None]),
        ],
        [Thread("chosen", "a"), Thread("made", "b"), Thread("other")],
    ),
    "parallel of nothing": lambda w: parallel(w, [Axis("x", [None])], [Thread("other")]),
}


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_sound_and_lies_inside_of_its_frame(name, width):
    canvas = CHARTS[name](width)
    assert canvas.width == width
    root = ET.fromstring(canvas.document("title", "description", "n"))
    assert root.get("role") == "img"
    assert [root.find(f"{NS}{tag}").text for tag in ("title", "desc")] == ["title", "description"]
    assert "nan" not in canvas.document("t", "d").lower()
    for element in root.iter():
        for x, y in (("x", "y"), ("x1", "y1"), ("x2", "y2"), ("cx", "cy")):
            if element.get(x) is not None:
                assert -1 <= float(element.get(x)) <= width + 1, ET.tostring(element)
                assert -1 <= float(element.get(y)) <= canvas.height + 1, ET.tostring(element)
        if element.tag == f"{NS}rect":
            assert float(element.get("x")) + float(element.get("width")) <= width + 1, ET.tostring(element)
        if element.tag == f"{NS}path":
            places = [float(word) for word in re.findall(r"-?[\d.]+", element.get("d"))]
            assert all(-1 <= x <= width + 1 for x in places[::2])


def test_the_front_has_those_that_no_other_beats():
    points = [
        Point(1, 1, "a"),
        Point(2, 3, "b"),
        Point(3, 2, "c"),
        Point(2, 0, "d"),
        Point(4, 4, "e"),
        Point(2, 3, "f"),
    ]
    assert [point.label for point in best(points)] == ["a", "b", "e"]


def test_an_axis_begins_at_zero_unless_the_largest_is_many_times_the_least():
    assert not x_scale([10, 20], 0, 1).log
    assert x_scale([10, 20], 0, 1).low == 0
    assert x_scale([1, 100], 0, 1).log
    assert not x_scale([0, 100], 0, 1).log


def test_runs_beyond_the_axis_are_counted_in_the_label():
    text = histograms(WIDE, [Runs("x", [1.0] * 98 + [50.0, 60.0])], "ms").document("t", "d")
    assert "2 of 100 beyond" in text


def test_of_very_many_classes_the_most_confused_are_shown():
    confusion = {f"{n},{n}": 5 for n in range(1000)} | {f"{n},{n + 1}": n for n in range(100, 140)}
    shown = most_confused(counts_of(confusion), 1000)
    assert len(shown) == 20
    assert shown == sorted(shown)
    assert {138, 139, 130} <= set(shown)
    assert 101 not in shown
    assert most_confused(counts_of(confusion), 4) == [0, 1, 2, 3]


def test_a_cell_of_the_matrix_says_who_is_taken_for_whom():
    root = ET.fromstring(matrix(WIDE, ["cat", "dog"], {(0, 1): 2, (0, 0): 6}, [0, 1]).document("t", "d"))
    assert {title.text for title in root.iter(f"{NS}title")} >= {
        "cat taken for dog: 2 of 8",
        "cat taken for cat: 6 of 8",
    }


def test_the_least_so_far_goes_down_only_with_trials_that_count():
    steps = [Step(0, 9, True), Step(1, 1, False), Step(2, 5, True), Step(3, 7, True)]
    root = ET.fromstring(progress(WIDE, [Progress("x", steps)]).document("t", "d"))
    line = next(path for path in root.iter(f"{NS}path"))
    heights = [float(y) for y in re.findall(r"[\d.]+ ([\d.]+)", line.get("d"))]
    assert len(set(heights)) == 2
    assert heights == sorted(heights)
