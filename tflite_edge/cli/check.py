"""`tflite-edge check`: would this file load there, and what would run where?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from tflite_edge.cli.show_check import placement, said
from tflite_edge.cli.sink import Sink, Table, format_option
from tflite_edge.records.errors import UsageError
from tflite_edge.records.verdict import OK, Finding, verdict_of

if TYPE_CHECKING:
    from tflite_edge.flatbuffer.rules.boards import Judged


@click.command()
@click.argument("model")
@click.option("--runtime", metavar="NAME[==VERSION]", help="tflite-runtime==2.14, ai-edge-litert, tflite-micro, ...")
@click.option("--target", metavar="TARGET", help="coral-usb, xnnpack, mcu, pi4, ... (docs/rules.md).")
@click.option("--explain", is_flag=True, help="With --target: every operator, also those that are mapped.")
@format_option
def command(model: str, runtime: str | None, target: str | None, explain: bool, sink: Sink) -> int:
    """Hold a .tflite file against what a runtime knows or an accelerator maps, without running it.

    A board (pi4, pi3-32, ...) stands for its runtimes, of which the best one decides. Exit code 1 when
    it would not load, or when something is left to the CPU. Needs no TensorFlow.

    \b
    tflite-edge check model.tflite --runtime tflite-runtime==2.14
    tflite-edge check model.tflite --target pi4
    tflite-edge check model.tflite --target coral-usb --explain
    """
    from tflite_edge.flatbuffer import rules
    from tflite_edge.flatbuffer.rules.boards import on_board
    from tflite_edge.flatbuffer.rules.contract import contract
    from tflite_edge.flatbuffer.rules.runtimes import find
    from tflite_edge.records.board import BOARDS
    from tflite_edge.records.plain import to_plain
    from tflite_edge.targets.compilers import compiled

    if not runtime and not target:
        raise UsageError("check needs something to check against", do="--runtime NAME==VERSION or --target TARGET")
    table = find(runtime) if runtime else None
    if target and target not in BOARDS:
        rules.named(target)  # refused before the file is read
    looked = rules.look(model)
    findings: list[Finding] = []
    parts: list[Table | str] = []
    document: dict[str, Any] = {"model": model}
    if table:
        findings += contract(looked, table[0])
        parts.append(f"{model} on {table[0].title}, {table[1]}")
        document["runtime"] = {"name": table[0].name, "version": table[0].version, "probed": table[0].probed}
    if target in BOARDS:
        judged = on_board(looked, BOARDS[target])
        findings += judged[0].findings
        parts += _on_board(model, BOARDS[target].title, judged)
        document["board"] = {"name": target, "runtimes": [{**to_plain(one), "loads": one.loads} for one in judged]}
    elif target:
        placed = rules.place(target, looked)
        compiler = compiled(target, model)
        findings += placed.findings
        parts += placement(model, placed, explain)
        parts.append(f"compiler: {compiler.said}")
        document["placement"], document["compiler"] = to_plain(placed), to_plain(compiler)
    document["findings"] = [to_plain(finding) for finding in findings]
    verdict = verdict_of(findings)
    sink.result("check", verdict, document, *parts, *(line for one in findings for line in said(one)))
    return 0 if verdict == OK else max(finding.exit_code for finding in findings)


def _on_board(model: str, board: str, judged: Sequence[Judged]) -> list[Table | str]:
    """Every runtime, and what breaks on those that did not decide: the best one's findings follow as any others."""
    rows = [
        [one.title, "yes" if one.loads else "no", str(len(one.findings)), f"its table of {one.probed}"]
        for one in judged
    ]
    others = [f"{one.title}: {line}" for one in judged[1:] for finding in one.findings for line in said(finding)]
    return [
        f"{model} on a {board}: "
        + (f"use {judged[0].title}" if judged[0].loads else "no runtime of the board loads it"),
        Table(["runtime ", "loads ", "findings", "by "], rows),
        *others,
    ]
