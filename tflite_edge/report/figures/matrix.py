"""Who is taken for whom: the confusion matrix, its right answers and its errors in two colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tflite_edge.report.svg import SMALL, Canvas, fit, width_of

MOST = 20  # classes in a picture; more would be too small to read
LARGEST = 46  # pixels of a cell

Counts = Mapping[tuple[int, int], int]


def counts_of(confusion: Mapping[str, int]) -> dict[tuple[int, int], int]:
    """`{"true,said": images}` of a ScoreResult by numbers."""
    pairs = {}
    for pair, images in confusion.items():
        true, _, said = pair.partition(",")
        pairs[int(true), int(said)] = images
    return pairs


def most_confused(counts: Counts, classes: int) -> list[int]:
    """All classes where they are few, else the MOST with most errors to or from them, in their own order."""
    if classes <= MOST:
        return list(range(classes))
    errors: dict[int, int] = {}
    for (true, said), images in counts.items():
        if true != said:
            errors[true] = errors.get(true, 0) + images
            errors[said] = errors.get(said, 0) + images
    worst = sorted(errors, key=lambda label: (-errors[label], label))[:MOST]
    return sorted(worst)


def matrix(width: float, labels: Sequence[str], counts: Counts, shown: Sequence[int]) -> Canvas:
    """Rows: what it is; columns: what the model says. A cell is as dark as its share of all samples of its row."""
    longest = max((width_of(labels[label], SMALL) for label in shown), default=0)
    names = min(longest + 12, width * 0.28) + 18
    cell = min((width - names - 4) / len(shown), LARGEST)
    head = 22 + (16 if longest <= cell - 4 else min(longest, 90) + 10)
    canvas = Canvas(width, head + cell * len(shown) + 8)
    canvas.text(names, 12, "what the model says", size=SMALL, colour="muted")
    middle = head + cell * len(shown) / 2
    canvas.text(11, middle, "what it is", size=SMALL, colour="muted", anchor="middle", turn=-90)
    totals = {true: sum(images for (row, _), images in counts.items() if row == true) for true in shown}
    for place, label in enumerate(shown):
        x, y = names + cell * (place + 0.5), head + cell * (place + 0.5)
        if longest <= cell - 4:
            canvas.text(x, head - 6, labels[label], anchor="middle", size=SMALL)
        else:
            canvas.text(x + 4, head - 6, fit(labels[label], 86, SMALL), size=SMALL, turn=-90)
        canvas.text(names - 6, y + 4, fit(labels[label], names - 26, SMALL), anchor="end", size=SMALL)
    for row, true in enumerate(shown):
        for column, said in enumerate(shown):
            _cell(canvas, names + cell * column, head + cell * row, cell, counts.get((true, said), 0),
                  totals[true] or 1, right=true == said, tip=f"{labels[true]} taken for {labels[said]}")  # fmt: skip
    return canvas


def _cell(canvas: Canvas, x: float, y: float, size: float, images: int, total: int, *, right: bool, tip: str) -> None:
    share = images / total
    canvas.rect(x, y, size - 1, size - 1, "faint", opacity=0.35)
    if not images:
        return
    # Errors are few: of the root of a share even one in a hundred shows.
    dark = 0.12 + 0.88 * (share if right else min(1.0, (4 * share) ** 0.5))
    canvas.rect(x, y, size - 1, size - 1, "blue" if right else "red", opacity=dark, tip=f"{tip}: {images} of {total}")
    text = f"{images:,}"
    if width_of(text, SMALL) <= size - 2:
        colour = "ground" if dark > 0.55 else "text"
        canvas.text(x + (size - 1) / 2, y + size / 2 + 4, text, anchor="middle", size=SMALL, colour=colour)
