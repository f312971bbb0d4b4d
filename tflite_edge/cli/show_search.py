"""A search's front as a table, and what it recommends."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from tflite_edge.cli.sink import Table
from tflite_edge.records.search import COMPLETE, FAILED, PRUNED, Study, Trial
from tflite_edge.search.words import recipe_words

KIB = 1024


def study(found: Study, out: Path) -> list[Table | str]:
    """The Pareto front with the reference above it, the recommendation, and how the search went."""
    best, near = found.trial(found.best), found.trial(found.nearest)
    shown = [trial for trial in found.trials if trial.origin == "reference" and not trial.front] + found.front
    if near is not None and near not in shown:
        shown.append(near)
    parts: list[Table | str] = [_table(found, shown)] if shown else []
    reference = next((trial for trial in found.trials if trial.origin == "reference"), None)
    if reference is not None and reference.why:
        parts.append(f"the float model: {reference.why}")
    if best is not None:
        parts.append(f"recommended: trial {best.number}, {found.why}")
        parts.append(f"made again, bit for bit (SHA-256 {best.sha256[:12]}): {_again(out)}")
    else:
        parts.append(found.why)
        if near is not None:
            parts.append(f"do: {_allowing(near, found)}")
    return [*parts, _count(found), f"in {out}: search.json, trials/NUMBER of the front"]


def _again(out: Path) -> str:
    return f"tflite-edge convert {shlex.quote(str(out / 'best.toml'))}"


def _table(found: Study, shown: list[Trial]) -> Table:
    on = next((trial.latency_on for trial in shown if trial.latency_on), "")
    kind = next((trial.latency_kind for trial in shown if trial.latency_kind), "")
    columns = ["", "trial", "recipe ", "KiB", "gzip", "top-1 %", "drop points", "ms"]
    rows = [
        [
            _mark(trial, found),
            str(trial.number),
            recipe_words(trial, found.recipe.model),
            _number(trial.bytes, KIB),
            _number(trial.gzip_bytes, KIB),
            "-" if trial.top1 is None else f"{100 * trial.top1:.2f}",
            _drop(trial),
            "-" if trial.latency_s is None else f"{1e3 * trial.latency_s:.3g}",
        ]
        for trial in shown
    ]
    title = f"Pareto front; ms {kind} on {on}" if kind else "Pareto front"
    return Table(columns, rows, title, spare=["gzip", "top-1 %"])


def _mark(trial: Trial, found: Study) -> str:
    return "*" if trial.number == found.best else "~" if trial.number == found.nearest else ""


def _number(value: Any, unit: float) -> str:
    return "-" if value is None else f"{value / unit:,.1f}"


def _drop(trial: Trial) -> str:
    if trial.drop is None:
        return "-"
    return f"{trial.drop:+.2f}" + ("" if trial.drop_ci is None else f" ±{trial.drop_ci:.2f}")


def _allowing(near: Trial, found: Study) -> str:
    """The limits that the nearest trial keeps."""
    budget, size = found.budget, near.size(found.budget.compressed)
    words = []
    if budget.max_bytes is not None and size is not None and size > budget.max_bytes:
        words.append(f"--max-bytes {size}")
    if budget.max_latency_s is not None and near.latency_s is not None and near.latency_s > budget.max_latency_s:
        words.append(f"--max-latency {1e3 * near.latency_s:.3g}ms@{budget.latency_on}")
    if budget.max_drop is not None and near.drop is not None and near.drop > budget.max_drop:
        words.append(f"--max-drop {near.drop:.2f}")
    if near.origin == "probe":
        return f"{' '.join(words)} at least"
    return f"{' '.join(words)}, which trial {near.number} keeps; or more trials" if words else "more trials"


def _count(found: Study) -> str:
    tried = found.tried
    words = [f"{sum(trial.state == COMPLETE for trial in tried)} of {len(tried)} trials came to their end"]
    stopped, failed = (sum(trial.state == state for trial in tried) for state in (PRUNED, FAILED))
    if stopped:
        words.append(f"{stopped} stopped after a short fine-tuning")
    if failed:
        last = next(trial for trial in reversed(tried) if trial.state == FAILED)
        words.append(f"{failed} failed (trial {last.number}: {(last.why or 'for no known reason').splitlines()[0]})")
    steps = sum(found.cache_hits.values())
    if steps:
        words.append(f"{found.cache_hits['found']} of {steps} steps were in the cache")
    return f"{', '.join(words)}; {found.seconds:,.0f} s"
