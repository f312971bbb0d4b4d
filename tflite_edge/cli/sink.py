"""The one output sink: results on stdout, talk on stderr. Commands never ask which format is on."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

import click

from tflite_edge import __version__
from tflite_edge.records.event import Event
from tflite_edge.records.verdict import OK

SCHEMA = 1
WIDTH = 100


@dataclass(frozen=True)
class Table:
    """Rows of text. Columns whose name ends in a space are aligned left, the others right.

    spare: columns that a narrow terminal does without, the last ones first.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    spare: Sequence[str] = ()


class Sink:
    def __init__(self, form: str) -> None:
        self.form = "human" if form == "auto" else form

    def result(self, command: str, verdict: str, document: dict[str, Any], *parts: Table | str) -> None:
        """The command's one result: `document` as JSON, or `parts` for people."""
        if self.form == "json":
            head = {"schema": SCHEMA, "version": __version__, "command": command, "verdict": verdict}
            click.echo(json.dumps({**head, **document}, indent=1))
        elif self.form != "quiet":
            for part in parts:
                self._show(part)
            if self.form == "human":
                click.secho(f"verdict: {verdict}", bold=True, fg="green" if verdict == OK else "red")
            else:
                click.echo(f"**verdict: {verdict}**")

    def _show(self, part: Table | str) -> None:
        if self.form == "md":
            click.echo(f"{part if isinstance(part, str) else markdown(part)}\n")
        elif isinstance(part, str):
            click.echo(
                textwrap.fill(part, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
            )
        else:
            from rich.console import Console

            console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False, markup=False)
            console.print(rich_table(_narrowed(part, console.width)))

    @contextmanager
    def listening(self) -> Iterator[Callable[[Event], None]]:
        """A listener for long work: progress bars on a terminal, a line for each finished step elsewhere."""
        if self.form == "quiet":
            yield lambda event: None
        elif sys.stderr.isatty():
            with _bars() as listener:
                yield listener
        else:
            with _own_stderr() as stream:
                yield lambda event: _line(event, stream)


@contextmanager
def _own_stderr() -> Iterator[TextIO]:
    """A descriptor of its own: while TensorFlow works, what C libraries write to number 2 is kept away."""
    try:
        number = os.dup(sys.stderr.fileno())
    except (OSError, ValueError):  # somebody put a buffer there
        number = -1
    if number < 0:
        yield sys.stderr
        return
    own = os.fdopen(number, "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors)
    with own as stream:
        yield stream


def _line(event: Event, stream: TextIO) -> None:
    if event.warning:
        click.echo(f"warning: {event.step}: {event.note}", stream)
    elif event.total == 0 or event.done in (0, event.total) or event.total <= 10:
        count = f" {event.done}/{event.total}" if event.total else ""
        click.echo(f"{event.step}{count} {event.note}".rstrip(), stream)


@contextmanager
def _bars() -> Iterator[Callable[[Event], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(), TextColumn("{task.description:8}"), BarColumn(30), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    with _own_stderr() as terminal, Progress(*columns, console=Console(file=terminal)) as progress:
        tasks: dict[str, Any] = {}

        def listener(event: Event) -> None:
            if event.warning:
                progress.console.print(f"warning: {event.note}", style="yellow", highlight=False)
                return
            total = event.total or None
            if event.step not in tasks:
                for task in progress.tasks:
                    if task.total is None:  # a step without a count is over when the next one begins
                        progress.update(task.id, total=1, completed=1)
                tasks[event.step] = progress.add_task(event.step, total=total, note=event.note)
            progress.update(tasks[event.step], completed=event.done, total=total, note=event.note)

        yield listener


def _narrowed(table: Table, width: int) -> Table:
    """The table without as many spare columns as it takes to fit."""
    cells = [table.columns, *table.rows]
    while table.spare and sum(3 + max(len(row[i].strip()) for row in cells) for i in range(len(table.columns))) > width:
        gone = table.columns.index(table.spare[-1])
        cells = [[*row[:gone], *row[gone + 1 :]] for row in cells]
        table = Table(cells[0], cells[1:], table.title, table.spare[:-1])
    return table


def rich_table(table: Table) -> Any:
    """As rich draws it."""
    from rich import box
    from rich.table import Table as RichTable

    shown = RichTable(title=table.title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        shown.add_column(column.strip(), justify="left" if column.endswith(" ") else "right", overflow="fold")
    for row in table.rows:
        shown.add_row(*row)
    return shown


def markdown(table: Table) -> str:
    rules = [":--" if column.endswith(" ") else "--:" for column in table.columns]
    lines = [[column.strip() for column in table.columns], rules, *table.rows]
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    return f"{table.title}\n\n{text}" if table.title else text


def format_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--format`, handed to the command as `sink`."""
    choice = click.Choice(["auto", "human", "json", "md", "quiet"])
    return click.option(
        "--format", "sink", type=choice, default="auto", callback=lambda ctx, param, value: Sink(value),
        help="How the result is printed on stdout.", show_default=True,
    )(command)  # fmt: skip
