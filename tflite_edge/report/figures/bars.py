"""A row for each thing, a bar for each of its figures; and one bar made of shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tflite_edge.report.svg import SERIES, SMALL, Canvas, Scale, fit, marks, squeeze, width_of

ROW, HEAD, PLAIN_HEAD = 19, 40, 24  # pixels; the second head has no numbers on it
GAP = 14


@dataclass(frozen=True)
class Column:
    """One figure of every row. title: with its unit. written: a value as text. high: end of the axis, or the largest.

    grid: ticks with lines, for figures to be read off; without, each bar's own number says it.
    """

    title: str
    written: Callable[[float], str]
    high: float | None = None
    grid: bool = False


@dataclass(frozen=True)
class Row:
    """values: one for each column, None where there is none. notes: beside the last bar. strong: to stand out."""

    label: str
    values: Sequence[float | None]
    strong: bool = False
    notes: str = ""
    tip: str = ""


def bars(width: float, columns: Sequence[Column], rows: Sequence[Row], *, top: float = 0) -> Canvas:
    """The rows' labels to the left, one column of bars after the other. top: room kept free above."""
    head = HEAD if any(column.grid for column in columns) else PLAIN_HEAD
    canvas = Canvas(width, top + head + ROW * len(rows) + 6)
    top += head
    names = min(max(width_of(row.label, SMALL) for row in rows) + 10, width * (0.42 if width > 500 else 0.36))
    each = (width - names - GAP * (len(columns) - 1)) / len(columns)
    for number, row in enumerate(rows):
        label = squeeze(row.label, names - 8, SMALL * (1.1 if row.strong else 1))
        y = top + ROW * number + 13
        canvas.text(names - 8, y, label, anchor="end", size=SMALL, bold=row.strong)
    for place, column in enumerate(columns):
        _column(canvas, column, [row.values[place] for row in rows], rows, names + place * (each + GAP), each, top,
                noted=place == len(columns) - 1)  # fmt: skip
    return canvas


def _column(
    canvas: Canvas,
    column: Column,
    values: Sequence[float | None],
    rows: Sequence[Row],
    left: float,
    width: float,
    top: float,
    *,
    noted: bool,
) -> None:
    """The bars begin at `top` and leave room for the numbers at their ends."""
    texts = ["" if value is None else column.written(value) for value in values]
    if noted:
        texts = [", ".join(filter(None, (text, row.notes))) for text, row in zip(texts, rows, strict=True)]
    room = min(max((width_of(text, SMALL) for text in texts), default=0) + 8, width * 0.6)
    high = column.high or max((value for value in values if value is not None), default=0.0) or 1.0
    scale = Scale(0.0, high, left, left + width - room)
    canvas.text(left, top - (28 if column.grid else 9), fit(column.title, width, SMALL), size=SMALL, colour="muted")
    if column.grid:
        ticks = scale.ticks(5)
        for tick, mark in zip(ticks, marks(ticks), strict=True):
            canvas.line(scale(tick), top - 6, scale(tick), top + ROW * len(rows))
            canvas.text(scale(tick), top - 10, mark, anchor="middle", colour="muted", size=SMALL)
    else:
        canvas.line(left, top - 2, left, top + ROW * len(rows), "muted")
    for number, (value, text, row) in enumerate(zip(values, texts, rows, strict=True)):
        y = top + ROW * number
        length = 0.0 if value is None else scale(min(max(value, 0.0), high)) - left
        if value is not None:
            canvas.rect(left, y + 2, max(length, 0.7), ROW - 5, "red" if row.strong else "blue", tip=row.tip)
        canvas.text(left + length + 5, y + 13, fit(text, left + width - (left + length + 5) + 4, SMALL), size=SMALL)


def shares(width: float, rows: Mapping[str, Mapping[str, float]], unit: str) -> Canvas:
    """One bar for each row, as long as its sum, made of its parts, the same colours in all; a key above.

    rows: label -> part -> value. At most as many parts as there are colours. unit: of the values.
    """
    parts = list(dict.fromkeys(part for row in rows.values() for part, value in row.items() if value))
    colours = dict(zip(parts, SERIES, strict=False))
    canvas, height = Canvas(width, 0), 4.0
    x = 0.0
    for part in parts:  # the key
        needs = width_of(part, SMALL) + 34
        if x and x + needs > width:
            x, height = 0.0, height + 18
        canvas.rect(x, height + 2, 11, 11, colours[part])
        canvas.text(x + 16, height + 12, part, size=SMALL)
        x += needs
    height += 30
    most = max(sum(row.values()) for row in rows.values())
    room = max(width_of(f"{sum(row.values()):,.2f} {unit}", SMALL) for row in rows.values()) + 8
    scale = Scale(0.0, most, 0.0, width - room)
    for label, row in rows.items():
        canvas.text(0, height + 10, fit(label, width, SMALL), size=SMALL)
        x, total = 0.0, sum(row.values())
        for part, value in row.items():
            length = scale(value)
            if not value:
                continue
            canvas.rect(x, height + 15, length - 1, 20, colours[part], tip=f"{part}: {value:,.3f} {unit}")
            x += length
        canvas.text(x + 5, height + 29, f"{total:,.2f} {unit}", size=SMALL)
        height += 46
    canvas.height = height
    return canvas
