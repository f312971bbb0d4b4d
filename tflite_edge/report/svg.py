"""SVG by hand: shapes, text, scales. Colours are classes, so that they follow the page's light or dark theme."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

SIZE = 12  # of text, in pixels; SMALL for marks on axes
SMALL = 11
NARROW = 0.57  # width of a letter by its size, on average; see width_of
MARGIN = 16  # around a drawing that is a file of its own

# Okabe and Ito's colours, which the colour-blind can tell apart (jfly.uni-koeln.de/color): in light, in dark.
COLOURS = {
    "blue": ("#0072b2", "#56b4e9"),
    "red": ("#d55e00", "#f0762b"),
    "green": ("#009e73", "#2bbf95"),
    "purple": ("#b4598d", "#cc79a7"),
    "yellow": ("#e69f00", "#e6b433"),
    "sky": ("#56b4e9", "#3a8fc4"),
    "text": ("#1b1f24", "#e8eaed"),
    "muted": ("#59616b", "#a3abb5"),
    "faint": ("#dde1e6", "#3a414a"),
    "ground": ("#ffffff", "#15181c"),
}
SERIES = ("blue", "yellow", "green", "purple", "sky", "red", "muted")


def theme() -> str:
    """The colours as CSS variables, light unless the reader prefers dark; always light on paper."""
    light, dark = ("".join(f"--{name}:{pair[i]};" for name, pair in COLOURS.items()) for i in (0, 1))
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
        + "".join(f".f-{name}{{fill:var(--{name})}}.s-{name}{{stroke:var(--{name})}}" for name in COLOURS)
        + "\nsvg text{font-variant-numeric:tabular-nums}.b{font-weight:600}.line{fill:none;stroke-linejoin:round}"
        ".over{paint-order:stroke;stroke:var(--ground);stroke-width:3px;stroke-linejoin:round}"
    )


def clean(text: str) -> str:
    """A stranger's text without what XML forbids and what turns a line around: both spoil more than themselves."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]", "\ufffd", text)


def width_of(text: str, size: float = SIZE) -> float:
    """About how many pixels wide, in whichever sans-serif the browser has. East Asian letters are square."""
    return sum(1.0 if unicodedata.east_asian_width(letter) in "WF" else NARROW for letter in text) * size


def _most(pixels: float, size: float) -> int:
    """No text of more letters fits. Cut to them first, a text of a million is not measured a million times."""
    return max(0, math.ceil(pixels / (NARROW * size)))


def fit(text: str, pixels: float, size: float = SIZE) -> str:
    """The text, or as much of its beginning as there is room for."""
    if width_of(text, size) <= pixels:
        return text
    text = text[: _most(pixels, size)]
    while text and width_of(text + "…", size) > pixels:
        text = text[:-1]
    return text + "…"


def squeeze(text: str, pixels: float, size: float = SIZE) -> str:
    """The text, or its first letters and as much of its end as there is room for: names of layers differ there."""
    if width_of(text, size) <= pixels:
        return text
    head, tail = text[:3].rstrip(), text[max(3, len(text) - _most(pixels, size)) :]
    while tail and width_of(f"{head} …{tail}", size) > pixels:
        tail = tail[1:]
    return f"{head} …{tail}"


@dataclass(frozen=True)
class Scale:
    """From `low`..`high` of the data to `start`..`end` in pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"no scale from {self.low} to {self.high}")

    def __call__(self, value: float) -> float:
        share = (
            math.log(value / self.low) / math.log(self.high / self.low)
            if self.log
            else (value - self.low) / (self.high - self.low)
        )
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round numbers, 1, 2 or 5 times a power of ten, at most `most`."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for factors in ((1, 2, 5), (1, 3), (1,)):
                found = [f * 10.0**d for d in decades for f in factors if self.low <= f * 10.0**d <= self.high * 1.0001]
                if 2 <= len(found) <= most:
                    return found
            return found[:: math.ceil(len(found) / most)] if len(found) > 1 else [self.low, self.high]
        step = nice((self.high - self.low) / most)
        first = math.ceil(self.low / step - 1e-9)
        return [round(n * step, 12) for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def nice(step: float) -> float:
    """The least of 1, 2 and 5 times a power of ten that is not below `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= step * (1 - 1e-9))


def around(values: Sequence[float], room: float = 0.08) -> tuple[float, float]:
    """(low, high) that hold the values with some room; of one value, a little to both sides."""
    low, high = min(values), max(values)
    margin = (high - low) * room or abs(high) * room or 1.0
    return low - margin, high + margin


def number(value: float) -> str:
    """Three digits that mean something, and a comma at the thousands."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    digits = max(0, 2 - math.floor(math.log10(abs(value)) + 1e-12))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def marks(values: Sequence[float]) -> list[str]:
    """Round numbers on an axis, all with as many decimals as the finest of them needs."""
    digits = max((len(f"{value:.10f}".rstrip("0").partition(".")[2]) for value in values), default=0)
    return [f"{value:,.{digits}f}" for value in values]


@dataclass
class Canvas:
    """A drawing of `width` x `height` pixels. Every text is cleaned and escaped here, and nowhere else."""

    width: float
    height: float
    parts: list[str] = field(default_factory=list)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        anchor: str = "start",
        colour: str = "text",
        size: float = SIZE,
        bold: bool = False,
        turn: float = 0,
        over: bool = False,
    ) -> None:
        """over: on top of lines, which a rim in the ground's colour keeps away from the letters."""
        turned = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
        classes = f"f-{colour}" + " b" * bold + " over" * over
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" class="{classes}" font-size="{size:g}" '
            f'text-anchor="{anchor}"{turned}>{escape(clean(text))}</text>'
        )

    def line(
        self, x1: float, y1: float, x2: float, y2: float, colour: str = "faint", width: float = 1, dash: str = ""
    ) -> None:
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="s-{colour}" '
            f'stroke-width="{width:g}"{dashed}/>'
        )

    def path(
        self, points: Sequence[tuple[float, float]], colour: str, width: float = 1.5, opacity: float = 1, dash: str = ""
    ) -> None:
        if not points:
            return
        places = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        clear = f' stroke-opacity="{opacity:g}"' if opacity != 1 else ""
        self.parts.append(f'<path d="M{places}" class="line s-{colour}" stroke-width="{width:g}"{clear}{dashed}/>')

    def area(self, points: Sequence[tuple[float, float]], colour: str, opacity: float = 1) -> None:
        places = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self.parts.append(f'<path d="M{places}Z" class="f-{colour}" fill-opacity="{opacity:g}"/>')

    def rect(
        self, x: float, y: float, width: float, height: float, colour: str, *, opacity: float = 1, tip: str = ""
    ) -> None:
        """tip: what a browser shows under the pointer."""
        told = f"><title>{escape(clean(tip))}</title></rect>" if tip else "/>"
        clear = f' fill-opacity="{opacity:.3g}"' if opacity != 1 else ""
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" '
            f'class="f-{colour}"{clear}{told}'
        )

    def dot(
        self, x: float, y: float, radius: float, colour: str, *, hollow: bool = False, opacity: float = 1, tip: str = ""
    ) -> None:
        classes = f"f-ground s-{colour}" if hollow else f"f-{colour} s-ground"
        clear = f' fill-opacity="{opacity:g}"' if opacity != 1 else ""
        told = f"><title>{escape(clean(tip))}</title></circle>" if tip else "/>"
        self.parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" class="{classes}" '
            f'stroke-width="{2 if hollow else 1}"{clear}{told}'
        )

    def document(self, title: str, description: str, name: str = "", *, alone: bool = False) -> str:
        """The SVG for a page, or `alone` as a file of its own, with its colours and a ground.

        name: unique in the page; screen readers are told title and description.
        """
        told = f' aria-labelledby="{name}-t {name}-d"' if name else ""
        ids = (f' id="{name}-t"', f' id="{name}-d"') if name else ("", "")
        margin = MARGIN if alone else 0
        width, height = self.width + 2 * margin, self.height + 2 * margin
        frame = f'width="{width:g}" height="{height:g}"'
        ground = f'<rect x="{-margin}" y="{-margin}" {frame} class="f-ground"/>\n' if alone else ""
        own = f"<style>{theme()}svg{{font-family:system-ui,Helvetica,Arial,sans-serif}}</style>\n" if alone else ""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{-margin} {-margin} {width:g} {height:g}" '
            f'{frame} role="img"{told}>\n'
            f"<title{ids[0]}>{escape(clean(title))}</title><desc{ids[1]}>{escape(clean(description))}</desc>\n{own}{ground}"
            + "\n".join(self.parts)
            + "\n</svg>\n"
        )
