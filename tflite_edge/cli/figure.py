"""Records as figures: small SVG documents, drawn by hand, that any browser shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from tflite_edge.artifact import write as write_file
from tflite_edge.cli import show
from tflite_edge.records.errors import MissingError
from tflite_edge.records.layers import dead_range, saturation, short

if TYPE_CHECKING:
    from tflite_edge.layers import Layers
    from tflite_edge.records.layers import LayerError

WIDTH, NAMES, BARS, ROW, HEAD = 960, 330, 440, 20, 92  # pixels: NAMES to the left of BARS, notes to their right
GRID_DB = 10
# Okabe and Ito's colours, which the colour-blind can tell apart (jfly.uni-koeln.de/color).
PLAIN, WORST, TEXT, FAINT = "#0072b2", "#d55e00", "#222222", "#dddddd"
WORST_SHOWN = 3


def layers(found: Layers, title: str) -> str:
    """A bar of signal to quantisation noise for each layer, in the order in which they run; the worst stand out.

    Worst: those that add most noise of their own. Layers without noise have the longest bar.
    """
    known = [layer.sqnr_db for layer in found.layers if layer.sqnr_db is not None]
    most = GRID_DB * (int(max([*known, GRID_DB]) // GRID_DB) + 1)
    height = HEAD + ROW * len(found.layers) + 16
    worst = [number for number in found.ranked[:WORST_SHOWN] if found.layers[number].added > 0]
    body = [
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        _text(16, 26, title, size=15, weight="bold"),
        _text(16, 46, f"signal to quantisation noise of each layer in dB, {found.samples} samples; longer is better"),
        f'<rect x="16" y="55" width="10" height="10" fill="{WORST}"/>',
        _text(32, 64, "adds most noise of its own"),
        *_grid(most, height),
        *(part for row, layer in enumerate(found.layers) for part in _bar(row, layer, most, layer.number in worst)),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" font-family="Helvetica, Arial, sans-serif">\n<title>{escape(title)}</title>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _grid(most: int, height: int) -> list[str]:
    parts = []
    for decibel in range(0, most + 1, GRID_DB):
        x = NAMES + BARS * decibel / most
        parts.append(f'<line x1="{x:.1f}" y1="{HEAD - 6}" x2="{x:.1f}" y2="{height - 12}" stroke="{FAINT}"/>')
        parts.append(_text(x, HEAD - 12, str(decibel), anchor="middle"))
    return parts


def _bar(row: int, layer: LayerError, most: int, worst: bool) -> list[str]:
    y = HEAD + ROW * row
    value = most if layer.sqnr_db is None else min(max(layer.sqnr_db, 0.0), most)
    length = BARS * value / most
    nothing = "no noise" if layer.noise == 0 else "no signal"
    number = nothing if layer.sqnr_db is None else show.rounded(layer.sqnr_db)
    notes = [number]
    if saturation(layer):
        notes.append(f"saturates ({layer.clipped:.1%})")
    if dead_range(layer):
        notes.append(f"{layer.used_steps} of {layer.all_steps} steps")
    colour = WORST if worst else PLAIN
    whole = f"<title>{escape(layer.name)}</title>"  # what a browser shows under the pointer
    label = f"{layer.number}  {layer.operator}  {short(layer.name, 24)}"
    return [
        _text(NAMES - 8, y + 13, label, anchor="end"),
        f'<rect x="{NAMES}" y="{y + 3}" width="{length:.1f}" height="{ROW - 6}" fill="{colour}">{whole}</rect>',
        _text(NAMES + length + 6, y + 13, ", ".join(notes)),
    ]


def _text(x: float, y: float, text: str, *, size: int = 11, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{TEXT}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )


def write(path: Path, svg: str) -> None:
    """The figure appears under its name only when it is whole. Raises MissingError where it cannot be written."""
    if not path.absolute().parent.is_dir():
        raise MissingError(f"no folder for the figure {path}", do="make it, or name another")
    write_file(path.absolute(), svg)
