"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence

from tflite_edge.report.evidence import Evidence
from tflite_edge.report.figures.matrix import MOST, Counts, counts_of, matrix, most_confused
from tflite_edge.report.page import Figure, Part, Section, Table, Text
from tflite_edge.report.svg import clean
from tflite_edge.report.words import called

MOST_PAIRS = 10


def section(found: Evidence) -> Section:
    """The confusion matrix of the file that is told of, as the target's runtime answered."""
    chosen = found.chosen
    score = chosen.score if chosen else None
    if chosen is None or score is None or not score.confusion:
        return Section("answers", "What is taken for what", [])
    counts = counts_of(score.confusion)
    labels = labelled(found.manifest.source.labels, counts)
    shown = most_confused(counts, len(labels))
    right = sum(images for (true, said), images in counts.items() if true == said)
    runtime = f"{score.runtime.name} {score.runtime.version}"
    parts: list[Part] = [Text(f"{called(chosen)} answers {right:,} of {score.images:,} samples right ({runtime}).")]
    wrong = sorted(
        ((images, true, said) for (true, said), images in counts.items() if true != said), key=lambda w: (-w[0], w[1:])
    )
    if not shown:
        return Section("answers", "What is taken for what", parts)
    few = "" if len(shown) == len(labels) else f"The {MOST} classes of {len(labels):,} with most errors. "
    parts.append(
        Figure(
            "confusion",
            "Confusion matrix",
            f"Rows are the true classes, columns the answers, of {len(shown)} classes. Most confused: "
            + ("; ".join(f"{labels[t]} taken for {labels[s]}, {n}" for n, t, s in wrong[:3]) or "none"),
            lambda width: matrix(width, labels, counts, shown),
            _classes(labels, counts),
            f"{few}Blue: right, as dark as its share of the row; red: errors, darkened to be seen.",
        )
    )
    if wrong:
        rows = [[labels[t], labels[s], f"{n:,}", f"{100 * n / _of(counts, t):.1f}"] for n, t, s in wrong[:MOST_PAIRS]]
        title = f"The most frequent of {len(wrong):,} kinds of error" if len(wrong) > MOST_PAIRS else "All errors"
        parts.append(Table(["what it is ", "taken for ", "samples", "% of the class"], rows, title))
    return Section("answers", "What is taken for what", parts)


def labelled(names: Sequence[str], counts: Counts) -> list[str]:
    """A name for every class that occurs: its number, where the manifest has none."""
    classes = max([len(names), *(1 + max(pair) for pair in counts)])
    return [clean(names[number]) if number < len(names) else str(number) for number in range(classes)]


def _of(counts: Counts, true: int) -> int:
    return sum(images for (row, _), images in counts.items() if row == true)


def _classes(labels: Sequence[str], counts: Counts) -> Table:
    """Recall and precision of every class that occurs, the worst first where they are many."""
    rows = []
    for label, name in enumerate(labels):
        own, right = _of(counts, label), counts.get((label, label), 0)
        said = sum(images for (_, column), images in counts.items() if column == label)
        if own or said:
            recall, precision = (right / whole if whole else None for whole in (own, said))
            rows.append((1.0 if recall is None else recall, [name, f"{own:,}", *map(_percent, (recall, precision))]))
    if len(rows) > MOST:
        rows = sorted(rows, key=lambda row: row[0])[:MOST]
    columns = ["class ", "samples", "found %", "right when said %"]
    title = f"The {MOST} classes that are found least" if len(labels) > MOST else ""
    return Table(columns, [row for _, row in rows], title)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
