#!/usr/bin/env python3
"""Write the pages of docs/ that are generated: the commands' help, the recipe's keys, the rules.

A test holds the pages to what this prints, so run it after changing an option or a default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tflite_edge.cli import COMMANDS, app
from tflite_edge.cli.init import TEMPLATE
from tflite_edge.flatbuffer import rules
from tflite_edge.flatbuffer.rules import kernels
from tflite_edge.flatbuffer.rules.runtimes import RuntimeTable, find, known, latest

DOCS = Path(__file__).resolve().parent.parent / "docs"
WRITTEN_BY = "<!-- written by scripts/write_docs.py -->"


def pages() -> dict[str, str]:
    """File name -> text of every generated page."""
    return {"commands.md": commands(), "recipe.md": recipe(), "rules.md": rule_sets()}


def commands() -> str:
    house = click.Context(app, info_name="tflite-edge", terminal_width=100, **app.context_settings)
    parts = [WRITTEN_BY, "# Commands", block(app.get_help(house))]
    for name in COMMANDS:
        command = app.get_command(house, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=house, terminal_width=100)
        parts += [f"## {name}", block(command.get_help(context))]
        for inner in command.list_commands(context) if isinstance(command, click.Group) else ():
            own = command.get_command(context, inner)
            assert own is not None
            within = click.Context(own, info_name=inner, parent=context, terminal_width=100)
            parts += [f"### {name} {inner}", block(own.get_help(within))]
    return "\n\n".join(parts) + "\n"


def recipe() -> str:
    example = TEMPLATE.format(
        file="recipe.toml", source='name = "mobilenet"         # or file = "my_model.h5"', data='"digits"'
    )
    about = (
        "What `tflite-edge init` writes. Relative paths in a recipe are relative to the recipe. An unknown key is an\n"
        "error that names the nearest one. An option of `convert` goes over the recipe's value, and the resolved\n"
        "recipe is kept in `manifest.json`, which is itself a recipe: `tflite-edge convert out/manifest.json`."
    )
    return "\n\n".join([WRITTEN_BY, "# The recipe", about, block(example, "toml")]) + "\n"


def rule_sets() -> str:
    about = (
        "What `tflite-edge check` holds a file against. Each sentence is the docstring of a small function in\n"
        "`tflite_edge/flatbuffer/rules/`, and what the command prints when it does not hold."
    )
    parts = [WRITTEN_BY, "# Rules", about, "## Runtimes (`--runtime`)", runtimes()]
    for title, names in _sets().items():
        one = rules.TARGETS[names[0]]
        targets = ", ".join(f"`--target {name}`" for name in names)
        parts += [f"## {title}", f"{targets}. {one.about}", f"Source: {one.source}."]
        if one.whole:
            parts += ["Of the whole model:", "\n".join(_line(one, rule) for rule in one.whole)]
        parts += ["Of every operator:", "\n".join(_line(one, rule) for rule in one.every)]
        own = {name: listed for name, listed in one.operators.items() if listed}
        if own:
            parts += [
                "Of some:",
                "\n".join(_line(one, rule, f"{name}: ") for name, all_ in own.items() for rule in all_),
            ]
        parts += ["Operators: " + ", ".join(sorted(one.operators)) + "."]
    return "\n\n".join(parts) + "\n"


def _sets() -> dict[str, list[str]]:
    """Unit -> the targets that have its rules."""
    units: dict[str, list[str]] = {}
    for name, one in rules.TARGETS.items():
        units.setdefault(one.unit, []).append(name)
    return units


def _line(one: rules.RuleSet, rule: Any, before: str = "") -> str:
    edit = one.edits.get(rule.__name__, "")
    return f"- {before}{rules.sentence(rule)}" + (f" If not: {edit}." if edit else "")


def runtimes() -> str:
    rows = ["| runtime | operators | probed |", "| :-- | --: | :-- |"]
    for name, versions in known().items():
        for version in versions:
            table, _ = find(f"{name}=={version}")
            rows.append(f"| {table.title} | {len(table.operators)} | {table.probed} |")
    rows += [
        "",
        "Types that kernels refuse although the operator is known (inputs > outputs), of those that were asked:",
        "",
    ]
    rows += [f"- {table.title}: {_refused(table)}" for table in map(latest, known())]
    return "\n".join(rows)


def _refused(table: RuntimeTable) -> str:
    asked = kernels.asked(table.name, table.version)
    return "; ".join(f"{name} {one['refuses'].replace(' ', ', ')}" for name, one in asked.items() if "refuses" in one)


def block(text: str, language: str = "") -> str:
    return f"```{language}\n{text.rstrip()}\n```"


if __name__ == "__main__":
    for name, text in pages().items():
        (DOCS / name).write_text(text)
        print(f"wrote docs/{name}")
