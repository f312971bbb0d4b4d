"""A page of sections, written once and shown twice: as one self-contained HTML file and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from tflite_edge import __version__
from tflite_edge.report.figures import NARROW, WIDE
from tflite_edge.report.svg import Canvas, clean, theme

LONG = 12  # rows: a longer table under a figure is folded


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Items:
    items: Sequence[str]


@dataclass(frozen=True)
class Code:
    """Lines to be copied. language: "sh", "toml"."""

    text: str
    language: str = "sh"


@dataclass(frozen=True)
class Note:
    """What must not be overlooked. kind: "bad" for what is broken, "plain" else."""

    title: str
    lines: Sequence[str] = ()
    kind: str = "plain"


@dataclass(frozen=True)
class Table:
    """Rows of text. Columns whose name ends in a space are aligned left, the others right. strong: row to stand out."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    strong: int | None = None


@dataclass(frozen=True)
class Figure:
    """draw: its width in pixels -> the drawing. description: what it shows, for those who do not see it.

    table: the same figures in words and numbers.
    """

    name: str
    title: str
    description: str
    draw: Callable[[float], Canvas]
    table: Table | None = None
    caption: str = ""


Part = Text | Items | Code | Note | Table | Figure


@dataclass(frozen=True)
class Section:
    name: str
    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Tile:
    """One figure in large. value, unit: what it is; against: what it is compared with."""

    label: str
    value: str
    unit: str = ""
    against: str = ""


@dataclass(frozen=True)
class Page:
    """name: of what is told. kind: over the title. headline: all of it in a sentence. made: when, from what."""

    name: str
    kind: str
    verdict: str
    headline: str
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    made: str = ""
    missing: Sequence[Note] = field(default_factory=tuple)


def html(page: Page) -> str:
    """One file that asks nobody for anything: style and drawings are inside, there is no script."""
    from markupsafe import Markup

    environment = _templates()
    style = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    page = replace(page, sections=[section for section in page.sections if section.parts])

    def drawn(figure: Figure) -> Any:
        """Wide, and narrow for a phone; the page's style shows one of them."""
        found = []
        for size, width in (("wide", WIDE), ("narrow", NARROW)):
            drawing = figure.draw(width).document(figure.title, figure.description, f"{figure.name}-{size}")
            found.append(f'<div class="{size}">{drawing}</div>')
        return Markup("\n".join(found))  # noqa: S704 - Canvas escapes every text

    template = environment.get_template("page.html")
    return str(
        template.render(page=page, style=Markup(theme() + style), drawn=drawn, long=LONG, version=__version__)  # noqa: S704
    )


@cache
def _templates() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: clean(value) if type(value) is str else value,
    )
    environment.tests["of"] = lambda part, name: type(part).__name__ == name
    return environment


def markdown(page: Page) -> str:
    """The same, without the drawings: their tables say it."""
    parts = [f"# {plain(page.name)}", f"{plain(page.kind)} · verdict: **{plain(page.verdict)}**", plain(page.headline)]
    if page.tiles:
        parts.append(table_text(Table(["figure ", "value", "against "], [[t.label, f"{t.value} {t.unit}".strip(), t.against] for t in page.tiles])))  # fmt: skip # noqa: E501
    parts += [_part(note) for note in page.missing]
    for section in page.sections:
        if section.parts:
            parts.append(f"## {plain(section.title)}")
            parts += [_part(part) for part in section.parts]
    parts.append(f"Written by tflite-edge {__version__}." + (f" {plain(page.made)}" if page.made else ""))
    return clean("\n\n".join(filter(None, parts)) + "\n")


def _part(part: Part) -> str:
    if isinstance(part, Text):
        return plain(part.text)
    if isinstance(part, Items):
        return "\n".join(f"- {plain(item)}" for item in part.items)
    if isinstance(part, Code):
        return fenced(part.text, part.language)
    if isinstance(part, Note):
        return "\n>\n".join(f"> {line}" for line in (f"**{plain(part.title)}**", *map(plain, part.lines)))
    if isinstance(part, Table):
        return table_text(part)
    told = [f"### {plain(part.title)}", plain(part.caption or part.description)]
    return "\n\n".join(filter(None, [*told, table_text(part.table) if part.table else ""]))


def table_text(table: Table) -> str:
    """As Markdown."""
    rules = [":--" if column.endswith(" ") else "--:" for column in table.columns]
    lines = [
        [plain(column.strip()) for column in table.columns],
        rules,
        *([plain(cell) for cell in row] for row in table.rows),
    ]
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    return f"{plain(table.title)}\n\n{text}" if table.title else text


def plain(text: str) -> str:
    """A text that Markdown shows as it is: on one line, and its signs for marks and HTML are letters."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", " ".join(clean(text).split()))


def fenced(text: str, language: str) -> str:
    """A block of code that no line in it can end."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{clean(text)}\n{fence}"
