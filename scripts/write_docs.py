#!/usr/bin/env python3
"""Write the pages of docs/ that are generated: the commands' help and the recipe's keys.

A test holds the pages to what this prints, so run it after changing an option or a default.
"""

from __future__ import annotations

from pathlib import Path

import click

from tflite_edge.cli import COMMANDS, app
from tflite_edge.cli.init import TEMPLATE

DOCS = Path(__file__).resolve().parent.parent / "docs"
WRITTEN_BY = "<!-- written by scripts/write_docs.py -->"


def pages() -> dict[str, str]:
    """File name -> text of every generated page."""
    return {"commands.md": commands(), "recipe.md": recipe()}


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


def block(text: str, language: str = "") -> str:
    return f"```{language}\n{text.rstrip()}\n```"


if __name__ == "__main__":
    for name, text in pages().items():
        (DOCS / name).write_text(text)
        print(f"wrote docs/{name}")
