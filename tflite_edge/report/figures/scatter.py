"""Points on two axes, in panels that share the vertical one: what a gain on one costs on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tflite_edge.report.figures import STACKED
from tflite_edge.report.svg import SMALL, Canvas, Scale, around, fit, marks, width_of

LOG_FROM = 8  # times the least: from here on a linear axis would press the small ones together
HEIGHT = 300
LEFT, RIGHT, TOP, BOTTOM, GAP = 52, 12, 34, 44, 28
# What a point is -> its colour, its radius, whether it is hollow.
KINDS = {
    "chosen": ("red", 6.5, False),
    "made": ("blue", 5.0, False),
    "original": ("muted", 4.5, True),
    "other": ("muted", 3.0, False),
}

# Where a label may stand, from its point, the best first.
PLACES = (
    (9, 4), (-9, 4), (0, -11), (0, 20), (9, -9), (-9, -9), (9, 18), (-9, 18), (9, -24), (-9, -24), (9, 32), (-9, 32),
)  # fmt: skip

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Point:
    """kind: a key of KINDS. low, high: an interval of y. label: drawn beside it; tip: shown under the pointer."""

    x: float
    y: float
    label: str = ""
    kind: str = "made"
    low: float | None = None
    high: float | None = None
    tip: str = ""


@dataclass(frozen=True)
class Panel:
    """limit: a budget on x, drawn as a line: (value, label)."""

    title: str
    x_title: str
    points: Sequence[Point]
    limit: tuple[float, str] | None = None


def scatter(
    width: float, panels: Sequence[Panel], y_title: str, *, limit: tuple[float, str] | None = None, front: bool = True
) -> Canvas:
    """front: join the points that no other beats on both axes, less x and more y being better. limit: a line on y."""
    stacked = width < STACKED
    rows, columns = (len(panels), 1) if stacked else (1, len(panels))
    canvas = Canvas(width, HEIGHT * rows + 8)
    ys = [y for panel in panels for p in panel.points for y in (p.y, p.low, p.high) if y is not None]
    low, high = around([*ys, limit[0]] if limit else ys, 0.06)
    each = (width - LEFT - RIGHT - GAP * (columns - 1)) / columns
    for number, panel in enumerate(panels):
        left = LEFT + (0 if stacked else number * (each + GAP))
        top = TOP + (number * HEIGHT if stacked else 0)
        y = Scale(low, high, top + HEIGHT - TOP - BOTTOM, top)
        first = stacked or number == 0
        if first:
            canvas.text(4, top - 18, y_title, colour="muted", size=SMALL)
        _panel(canvas, panel, y, left, left + each, limit, front=front, numbered=first)
    return canvas


def _panel(
    canvas: Canvas,
    panel: Panel,
    y: Scale,
    left: float,
    right: float,
    limit: tuple[float, str] | None,
    *,
    front: bool,
    numbered: bool,
) -> None:
    x = x_scale([p.x for p in panel.points], left + 10, right - 10, panel.limit)
    taken: list[Box] = []
    ticks = y.ticks(5)
    for tick, mark in zip(ticks, marks(ticks), strict=True):
        canvas.line(left, y(tick), right, y(tick))
        if numbered:
            canvas.text(left - 6, y(tick) + 4, mark, anchor="end", colour="muted", size=SMALL)
    ticks = x.ticks(5)
    for tick, mark in zip(ticks, marks(ticks), strict=True):
        canvas.line(x(tick), y.start, x(tick), y.start + 4, "muted")
        canvas.text(x(tick), y.start + 17, mark, anchor="middle", colour="muted", size=SMALL)
    canvas.line(left, y.start, right, y.start, "muted")
    canvas.text((left + right) / 2, y.start + 36, panel.x_title, anchor="middle", colour="muted", size=SMALL)
    if panel.title:
        canvas.text(right, y.end - 18, panel.title, anchor="end", bold=True)
    if limit:
        canvas.line(left, y(limit[0]), right, y(limit[0]), "red", 1.2, "5 4")
        canvas.text(right, y(limit[0]) - 5, limit[1], anchor="end", colour="red", size=SMALL, over=True)
        taken.append((right - width_of(limit[1], SMALL), y(limit[0]) - 16, right, y(limit[0])))
    if panel.limit:
        place = x(panel.limit[0])
        canvas.line(place, y.end, place, y.start, "red", 1.2, "5 4")
        canvas.text(place - 4, y.end + 10, panel.limit[1], anchor="end", colour="red", size=SMALL)
        taken.append((place - 4 - width_of(panel.limit[1], SMALL), y.end - 2, place + 1, y.end + 14))
    if front:
        canvas.path([(x(p.x), y(p.y)) for p in best(panel.points)], "muted", 1.2, 0.8)
    _points(canvas, panel.points, x, y, (left, right), taken)


def _points(
    canvas: Canvas, points: Sequence[Point], x: Scale, y: Scale, limits: tuple[float, float], taken: list[Box]
) -> None:
    order = sorted(points, key=lambda p: ("other", "original", "made", "chosen").index(p.kind))
    for p in order:
        colour, radius, hollow = KINDS[p.kind]
        if p.low is not None and p.high is not None:
            canvas.line(x(p.x), y(p.low), x(p.x), y(p.high), colour, 1.2)
            taken.append((x(p.x) - 5, y(p.high), x(p.x) + 5, y(p.low)))  # wider than it is: a line through a word
        taken.append((x(p.x) - radius, y(p.y) - radius, x(p.x) + radius, y(p.y) + radius))
    for p in order:
        colour, radius, hollow = KINDS[p.kind]
        canvas.dot(x(p.x), y(p.y), radius, colour, hollow=hollow, tip=p.tip or p.label)
    for p in reversed(order):
        if p.label:
            _label(canvas, p, x(p.x), y(p.y), limits, taken)


def _label(canvas: Canvas, point: Point, x: float, y: float, limits: tuple[float, float], taken: list[Box]) -> None:
    """Beside its point, where least is in the way, and inside of the panel."""
    text = fit(point.label, limits[1] - limits[0] - 8, SMALL)
    width, tried = width_of(text, SMALL), []
    for steps, (dx, dy) in enumerate(PLACES):
        left = x + dx if dx > 0 else x + dx - width if dx < 0 else x - width / 2
        left = min(max(left, limits[0] + 2), limits[1] - width)
        box = (left, y + dy - SMALL, left + width, y + dy + 3)
        covered = sum(_overlap(box, other) for other in taken)
        tried.append((covered, steps, box))
    _, _, box = min(tried)
    taken.append(box)
    canvas.text(box[0], box[3] - 3, text, size=SMALL, bold=point.kind == "chosen", over=True)


def _overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def x_scale(values: Sequence[float], start: float, end: float, limit: tuple[float, str] | None = None) -> Scale:
    """From zero, or logarithmic where the largest is many times the least."""
    known = [*values, limit[0]] if limit else list(values)
    least, most = min(known), max(known)
    if least > 0 and most / least >= LOG_FROM:
        return Scale(least / 1.15, most * 1.15, start, end, log=True)
    return Scale(0.0, most * 1.08 or 1.0, start, end)


def best(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats on both axes, by x."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x, -p.y)):
        if not front or point.y > front[-1].y:
            front.append(point)
    return front
