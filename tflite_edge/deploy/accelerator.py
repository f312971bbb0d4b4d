"""What of a model an accelerator takes, as `check` says it; a model of which it takes nothing is refused."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Optional

from tflite_edge.flatbuffer import rules
from tflite_edge.records.errors import ModelError
from tflite_edge.records.verdict import Finding
from tflite_edge.targets.vela import VelaEstimate

WIDTH = 96  # of evidence, which is indented


@dataclass(frozen=True)
class Accelerator:
    """placement: of every operator, by the rules of `check`. compiler: what the vendor's program said.

    compiled: the file it made, "" where it was not made here; command: what makes it. estimate: Vela's.
    """

    placement: rules.Placement
    compiler: str
    compiled: str = ""
    command: str = ""
    estimate: Optional[VelaEstimate] = None  # noqa: UP045 - as the other records


class Contents(NamedTuple):
    """What goes into an archive, and what is said of it."""

    files: Mapping[str, bytes]
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    accelerator: Accelerator | None = None


def placed(model: Path, target: str, *, accept_degraded: bool) -> rules.Placement:
    """Where each operator would run. Raises ModelError, in the words of `check`, where none runs on the accelerator."""
    found = rules.place(target, rules.look(str(model)))
    if not accept_degraded and not any(row.mapped and not row.edge for row in found.rows):
        finding = found.findings[0] if found.findings else None
        raise ModelError(
            f"nothing of {model.name} runs on the {found.unit}",
            evidence=_wrapped(finding.evidence) if finding else "it has no operators to speak of",
            do=(finding.do if finding and finding.do else "pack an int8 model with --model int8")
            + "; --accept-degraded packs it all the same",
        )
    return found


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.fill(line, WIDTH, break_long_words=False) for line in text.splitlines())


def table(found: rules.Placement) -> str:
    """The operators as a table in Markdown, those that are mapped counted in one row."""
    mapped = sum(row.mapped for row in found.rows)
    share = "-" if found.macs_share is None else f"{found.macs_share:.1%}"
    said = f"{mapped} of {len(found.rows)} operators on the {found.unit}, {share} of the multiply-accumulates"
    said += f" ({found.scope})" if found.scope else ""
    lines = [
        f"{said}, by the rules of `tflite-edge check --target {found.target}`.",
        "",
        "| # | operator | version | MACs | runs on | why |",
        "|--:|---|--:|--:|---|---|",
    ]
    for row in found.rows:
        where = found.unit if row.mapped else found.elsewhere or "nothing"
        why = " ".join(filter(None, [row.rule, row.evidence])).replace("|", "/")
        lines.append(f"| {row.place} | {row.name} | {row.version} | {row.macs or '-'} | {where} | {why} |")
    return "\n".join(lines) + "\n"
