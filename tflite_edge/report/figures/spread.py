"""How far values lie apart: a histogram in each row, or a point with its band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tflite_edge.report.figures.scatter import LOG_FROM
from tflite_edge.report.svg import SMALL, Canvas, Scale, fit, marks

ROW, LINE, FOOT = 44, 15, 42  # pixels: bars, a line of text above them, the axis
BINS = 90
MOST = 2.5  # times the largest median: the axis ends there, or rare slow runs would press all others together


@dataclass(frozen=True)
class Runs:
    """Raw samples of one thing. marks: (value, what it is), drawn as ticks on its row."""

    label: str
    values: Sequence[float]
    marks: Sequence[tuple[float, str]] = ()
    strong: bool = False


@dataclass(frozen=True)
class Band:
    """A value that is not measured, and between what it may lie. open: nothing bounds it below."""

    label: str
    value: float
    low: float
    high: float
    note: str = ""
    hollow: bool = False


def histograms(width: float, rows: Sequence[Runs], unit: str) -> Canvas:
    """The rows share the axis; each is as high as its own most frequent bin. Its label counts what is off the axis."""
    lines = 1 if width > 500 else 2
    height = ROW + LINE * lines
    canvas = Canvas(width, height * len(rows) + FOOT)
    least, slowest = min(min(row.values) for row in rows), max(max(row.values) for row in rows)
    most = min(slowest, MOST * max(median(row.values) for row in rows))
    wide = least > 0 and most / least >= LOG_FROM
    scale = Scale(least * 0.94, most * 1.06, 8, width - 8, log=True) if wide else _linear(least, most, width)
    base = height * len(rows)
    ticks = scale.ticks(7 if width > 500 else 4)
    for tick, mark in zip(ticks, marks(ticks), strict=True):
        canvas.line(scale(tick), 4, scale(tick), base + 4)
        canvas.text(scale(tick), base + 18, mark, anchor="middle", colour="muted", size=SMALL)
    canvas.text(width / 2, base + 36, unit, anchor="middle", colour="muted", size=SMALL)
    for number, row in enumerate(rows):
        _histogram(canvas, row, scale, height * (number + 1), lines)
    return canvas


def _linear(least: float, most: float, width: float) -> Scale:
    room = (most - least) * 0.05 or most * 0.05 or 1.0
    return Scale(max(0.0, least - room), most + room, 8, width - 8)


def _histogram(canvas: Canvas, row: Runs, scale: Scale, base: float, lines: int) -> None:
    size = (scale.end - scale.start) / BINS
    counts = [0] * BINS
    for value in row.values:
        place = int((scale(value) - scale.start) / size) if value > 0 or not scale.log else 0
        if 0 <= place < BINS:
            counts[place] += 1
    colour = "red" if row.strong else "blue"
    most = max(counts) or 1
    outline = [(scale.start, base)]
    for place, count in enumerate(counts):
        height = 34 * count / most
        outline += [(scale.start + place * size, base - height), (scale.start + (place + 1) * size, base - height)]
    canvas.line(scale.start, base, scale.end, base, "muted", 0.8)
    canvas.area([*outline, (scale.end, base)], colour, 0.75)
    for value, _ in row.marks:
        if value <= scale.high:
            canvas.line(scale(value), base - 38, scale(value), base + 3, "text", 1.4)
    _labels(canvas, row, scale, base, lines)


def _labels(canvas: Canvas, row: Runs, scale: Scale, base: float, lines: int) -> None:
    """Name and marks above the row, on the side where the distribution is not."""
    off = sum(value > scale.high for value in row.values)
    told = [what for _, what in row.marks] + ([f"{off} of {len(row.values):,} beyond"] if off else [])
    texts = ["  ·  ".join([row.label, *told])] if lines == 1 else [row.label, "  ·  ".join(told)]
    right = scale(median(row.values)) < (scale.start + scale.end) / 2
    place, anchor = (canvas.width - 8, "end") if right else (8, "start")
    for number, text in enumerate(texts):
        y = base - 42 - LINE * (lines - 1 - number)
        strong = row.strong and number == 0
        canvas.text(place, y, fit(text, canvas.width - 16, SMALL), anchor=anchor, size=SMALL, bold=strong, over=True)


def bands(width: float, rows: Sequence[Band], unit: str) -> Canvas:
    """A point and its band in each row, on one axis from zero."""
    canvas = Canvas(width, 44 * len(rows) + FOOT)
    scale = Scale(0.0, max(row.high for row in rows) * 1.05, 8, width - 8)
    base = 44 * len(rows)
    ticks = scale.ticks(7 if width > 500 else 4)
    for tick, mark in zip(ticks, marks(ticks), strict=True):
        canvas.line(scale(tick), 4, scale(tick), base + 4)
        canvas.text(scale(tick), base + 18, mark, anchor="middle", colour="muted", size=SMALL)
    canvas.text(width / 2, base + 36, unit, anchor="middle", colour="muted", size=SMALL)
    for number, row in enumerate(rows):
        y = 44 * number + 30
        text = row.label + (f"  ·  {row.note}" if row.note else "")
        canvas.text(8, y - 14, fit(text, width - 16, SMALL), size=SMALL)
        canvas.rect(scale(row.low), y - 4, scale(row.high) - scale(row.low), 8, "sky", opacity=0.45)
        canvas.dot(scale(row.value), y, 5, "blue", hollow=row.hollow, tip=text)
    return canvas
