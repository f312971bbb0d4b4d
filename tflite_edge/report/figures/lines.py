"""Many trials: how far the best has come, and which settings lead where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tflite_edge.report.figures.scatter import KINDS, LOG_FROM
from tflite_edge.report.svg import SMALL, Canvas, Scale, around, fit, marks, number, width_of
from tflite_edge.report.words import word

HEIGHT, LEFT, RIGHT, TOP, FOOT = 168, 52, 12, 26, 34
AXIS = 58  # pixels from one axis of `parallel` to the next
MOST_TICKS = 6


@dataclass(frozen=True)
class Step:
    """One trial in a panel. value: None where there is none. counts: it may become the best. tip: under the pointer."""

    number: int
    value: float | None
    counts: bool
    kind: str = "other"
    tip: str = ""


@dataclass(frozen=True)
class Progress:
    """One goal, less being better. limit: a budget: (value, label)."""

    title: str
    steps: Sequence[Step]
    limit: tuple[float, str] | None = None


def progress(width: float, panels: Sequence[Progress]) -> Canvas:
    """Every trial a dot, and the least so far a line, one panel under the other."""
    canvas = Canvas(width, HEIGHT * len(panels) + FOOT)
    last = max(step.number for panel in panels for step in panel.steps)
    x = Scale(-0.5, last + 0.5, LEFT, width - RIGHT)
    for place, panel in enumerate(panels):
        _goal(canvas, panel, x, HEIGHT * place)
    ticks = [tick for tick in x.ticks(8 if width > 500 else 5) if tick == int(tick)]
    for tick in ticks:
        canvas.text(x(tick), HEIGHT * len(panels) + 10, f"{tick:.0f}", anchor="middle", colour="muted", size=SMALL)
    canvas.text((x.start + x.end) / 2, HEIGHT * len(panels) + 28, "trial", anchor="middle", colour="muted", size=SMALL)
    return canvas


def _goal(canvas: Canvas, panel: Progress, x: Scale, top: float) -> None:
    known = [(step, step.value) for step in panel.steps if step.value is not None]
    canvas.text(4, top + 12, panel.title, size=SMALL, colour="muted")
    values = [value for _, value in known] + ([panel.limit[0]] if panel.limit else [])
    if not values:
        return
    least, most = min(values), max(values)
    start, end = top + HEIGHT - 8, top + TOP
    wide = least > 0 and most / least >= LOG_FROM
    y = Scale(least / 1.2, most * 1.2, start, end, log=True) if wide else Scale(*around(values), start, end)
    ticks = y.ticks(4)
    for tick, mark in zip(ticks, marks(ticks), strict=True):
        canvas.line(x.start, y(tick), x.end, y(tick))
        canvas.text(x.start - 6, y(tick) + 4, mark, anchor="end", colour="muted", size=SMALL)
    if panel.limit:
        canvas.line(x.start, y(panel.limit[0]), x.end, y(panel.limit[0]), "red", 1.2, "5 4")
    path: list[tuple[float, float]] = []
    best: float | None = None
    for step, value in known:
        if step.counts and (best is None or value < best):
            path += [(x(step.number), y(best))] if best is not None else []
            path.append((x(step.number), y(value)))
            best = value
    if best is not None:
        path.append((x.end, y(best)))
        canvas.path(path, "blue", 2)
    for step, value in sorted(known, key=lambda one: one[0].kind == "chosen"):
        colour, radius, hollow = KINDS[step.kind]
        canvas.dot(x(step.number), y(value), radius * 0.8, colour, hollow=hollow or not step.counts, tip=step.tip)
    if panel.limit:
        canvas.text(x.end, y(panel.limit[0]) - 5, panel.limit[1], anchor="end", colour="red", size=SMALL, over=True)


@dataclass(frozen=True)
class Axis:
    """One setting or result. written: a number as text, where the values are numbers."""

    title: str
    values: Sequence[Any]
    written: Callable[[float], str] = number


@dataclass(frozen=True)
class Thread:
    """How one trial is drawn. kind: a key of KINDS."""

    kind: str
    label: str = ""


def parallel(width: float, axes: Sequence[Axis], threads: Sequence[Thread]) -> Canvas:
    """An axis in each row, and every trial a line from the first to the last; a gap where it has no value."""
    canvas = Canvas(width, AXIS * len(axes) + 4)
    left, right = (width * 0.2, width - 34) if width > 500 else (20.0, width - 24.0)
    places = []
    for row, axis in enumerate(axes):
        y = AXIS * row + 30.0
        canvas.line(left, y, right, y, "muted")
        if width > 500:
            canvas.text(0, y + 4, fit(axis.title, left - 22, SMALL), size=SMALL)
        else:
            canvas.text(0, y - 14, fit(axis.title, width, SMALL), size=SMALL, over=True)
        places.append(_places(canvas, axis, left, right, y))
    order = sorted(range(len(threads)), key=lambda n: ("other", "original", "made", "chosen").index(threads[n].kind))
    for index in order:
        kind = threads[index].kind
        colour = KINDS[kind][0]
        strong = {"chosen": (3.0, 1.0), "made": (1.6, 0.85)}.get(kind, (1.0, 0.35))
        for points in _runs([at[index] for at in places], AXIS):
            canvas.path(points, colour, *strong)
            for x, y in points:
                if kind in ("chosen", "made"):
                    canvas.dot(x, y, 4 if kind == "chosen" else 2.5, colour, tip=threads[index].label)
    canvas.parts.sort(key=lambda part: part.startswith("<text"))  # letters over lines
    return canvas


def _runs(xs: Sequence[float | None], step: float) -> list[list[tuple[float, float]]]:
    """The stretches without a gap."""
    found: list[list[tuple[float, float]]] = [[]]
    for row, x in enumerate(xs):
        if x is None:
            found.append([])
        else:
            found[-1].append((x, step * row + 30))
    return [points for points in found if points]


def _places(canvas: Canvas, axis: Axis, left: float, right: float, y: float) -> list[float | None]:
    """Where each value lies, with the marks of the axis drawn. Numbers lie on a scale, words side by side."""
    known = [value for value in axis.values if value is not None]
    numeric = [value for value in known if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numeric) < len(known) or not known:
        if all(isinstance(value, (list, tuple)) for value in known):  # sizes
            known = sorted(known, key=lambda value: [str(part).rjust(9) for part in value])
        words = list(dict.fromkeys(word(value) for value in known))
        gap = (right - left) / max(len(words), 1)
        at = {text: left + gap * (n + 0.5) for n, text in enumerate(words)}
        for text, x in at.items():
            canvas.text(x, y + 16, fit(text, gap - 4, SMALL), anchor="middle", size=SMALL, colour="muted", over=True)
        return [None if value is None else at[word(value)] for value in axis.values]
    least, most = min(numeric), max(numeric)
    if least == most:
        canvas.text(
            (left + right) / 2, y + 16, axis.written(least), anchor="middle", size=SMALL, colour="muted", over=True
        )
        return [None if value is None else (left + right) / 2 for value in axis.values]
    scale = Scale(least, most, left, right, log=least > 0 and most / least >= LOG_FROM)
    for tick in _ticks(axis, scale, sorted(set(numeric))):
        canvas.line(scale(tick), y - 3, scale(tick), y + 3, "muted")
        canvas.text(scale(tick), y + 16, axis.written(tick), anchor="middle", size=SMALL, colour="muted", over=True)
    return [None if value is None else scale(value) for value in axis.values]


def _ticks(axis: Axis, scale: Scale, distinct: list[float]) -> list[float]:
    """The values themselves where they are few, else both ends and round numbers that do not touch them."""
    wanted = distinct if len(distinct) <= MOST_TICKS else [scale.low, scale.high, *scale.ticks(MOST_TICKS)]
    kept: list[float] = []
    for tick in wanted:
        half = width_of(axis.written(tick), SMALL) / 2 + 3
        if all(abs(scale(tick) - scale(other)) > half + width_of(axis.written(other), SMALL) / 2 for other in kept):
            kept.append(tick)
    return kept
