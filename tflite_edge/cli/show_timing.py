"""The records of `bench` as tables for people."""

from __future__ import annotations

from collections.abc import Iterable

from tflite_edge.cli.show import findings, run_row
from tflite_edge.cli.sink import Table
from tflite_edge.records.job import BenchResult, Runtime
from tflite_edge.records.sensors import Energy, Sensors, Snapshot
from tflite_edge.records.timing import Matrix, ProfileResult, RealtimeResult
from tflite_edge.records.verdict import Finding
from tflite_edge.report.words import milliseconds


def bench(result: BenchResult, model: str) -> Iterable[Table | str]:
    yield from run_row(result, model)
    if result.sensors is not None:
        yield _sensors(result.sensors)
    if result.energy is not None:
        yield from _energy(result.energy)


def _sensors(found: Sensors) -> str:
    """One line: what was read, then what was not."""
    parts = []
    before, after = found.before, found.after
    if after.governor is not None:
        parts.append(f"governor {after.governor}")
    parts.extend(
        f"{name} {_pair(old, new)} {unit}"
        for name, old, new, unit in (
            ("clock", _mega(before), _mega(after), "MHz"),
            ("CPU", before.temperature_c, after.temperature_c, "°C"),
        )
        if new is not None
    )
    if after.throttled_now is not None and after.throttled_since_boot is not None:
        boot = f", since boot {', '.join(after.throttled_since_boot)}" if after.throttled_since_boot else ""
        parts.append(f"throttled: {', '.join(after.throttled_now) or 'no'}{boot}")
    missing = [f"no {name.partition('_')[0]} ({why})" for name, why in after.why.items()]
    return "sensors: " + "; ".join([*parts, *missing])


def _mega(found: Snapshot) -> float | None:
    return None if found.frequency_hz is None else found.frequency_hz / 1e6


def _pair(old: float | None, new: float | None) -> str:
    return f"{new:.0f}" if old is None or f"{old:.0f}" == f"{new:.0f}" else f"{old:.0f} -> {new:.0f}"


def _energy(found: Energy) -> Iterable[Table | str]:
    if found.joules is not None:
        columns = ["mJ per inference", "95 % interval", "idle W", "active W", "inferences", "readings"]
        interval = "-" if found.low_j is None or found.high_j is None else f"{_mj(found.low_j)} to {_mj(found.high_j)}"
        numbers = [f"{found.inferences:,}", str(found.samples)]
        yield Table(columns, [[_mj(found.joules), interval, _watts(found.idle_w), _watts(found.active_w), *numbers]])
        yield f"energy above idle, from {found.source}"
        if found.why:
            yield f"note: {found.why}"
        return
    yield f"energy was not measured: {found.why}"
    if found.estimate_j is None:
        yield f"energy was not estimated: {found.estimate_source}"
    else:
        yield f"energy, estimated and not measured: {_mj(found.estimate_j)} mJ per inference ({found.estimate_source})"


def _mj(joules: float) -> str:
    return f"{1e3 * joules:.3g}"


def _watts(watts: float | None) -> str:
    return "-" if watts is None else f"{watts:.2f}"


def matrix(found: Matrix, model: str) -> Iterable[Table | str]:
    yield _on(model, found.cells[0].bench.runtime)
    rows = [
        [
            str(cell.threads),
            str(cell.batch),
            milliseconds(cell.median_s),
            milliseconds(cell.p99_s),
            milliseconds(cell.per_image_s),
            f"{milliseconds(min(cell.rounds_s))} to {milliseconds(max(cell.rounds_s))}",
            "recommended" if (cell.threads, cell.batch) == found.recommended else "",
        ]
        for cell in found.cells
    ]
    yield Table(["threads", "batch", "median ms", "p99", "ms per image", "medians of the rounds", " "], rows)
    threads, batch = found.recommended
    several = f"{threads} thread{'s' if threads > 1 else ''}" + (f", batch {batch}" if batch > 1 else "")
    yield f"recommended: {several}: {found.why}"
    yield from dict.fromkeys(line for cell in found.cells for line in _doubts(cell.trouble))
    yield from (f"note: {note}" for note in found.notes)


def profile(found: ProfileResult, model: str, most: int = 20) -> Iterable[Table | str]:
    yield _on(model, found.runtime)
    ranked = sorted(found.operators, key=lambda operator: -operator.seconds)
    rows = [
        [
            f"#{one.index}",
            one.name,
            _micro(one.seconds) if one.clear else f"< {_micro(max(one.noise_s, one.seconds))}",
            _micro(one.noise_s),
            f"{100 * one.share:.1f}" if one.clear else "-",
        ]
        for one in ranked[:most]
    ]
    title = f"the {most} that take most of {len(ranked)} operators" if len(ranked) > most else ""
    yield Table(["operator ", "name ", "µs", "noise ±", "share %"], rows, title)
    kinds: dict[str, float] = {}
    for one in ranked:
        kinds[one.name] = kinds.get(one.name, 0.0) + one.seconds
    by_kind = sorted(kinds.items(), key=lambda kind: -kind[1])[:5]
    yield "by kind: " + ", ".join(f"{name} {100 * seconds / found.total_s:.0f} %" for name, seconds in by_kind)
    yield f"whole model {milliseconds(found.total_s)} ms, without operators {milliseconds(found.empty_s)} ms"
    yield f"how: {found.how}"
    yield from _doubts(found.sensors.trouble)


def _micro(seconds: float) -> str:
    return f"{1e6 * seconds:,.1f}"


def realtime(found: RealtimeResult, model: str, missed: tuple[Finding, ...]) -> Iterable[Table | str]:
    yield _on(model, found.runtime)
    row = [
        f"{1e3 * found.period_s:g}",
        f"{found.periods:,}",
        f"{found.misses} ({found.miss_share:.2%})",
        *(milliseconds(seconds) for seconds in (found.p50_s, found.p99_s)),
        "-" if found.p999_s is None else milliseconds(found.p999_s),
        *(milliseconds(seconds) for seconds in (found.max_s, found.lateness_p99_s, found.lateness_max_s)),
        f"{100 * found.spread:.1f}",
    ]
    columns = ["period ms", "periods", "misses", "p50 ms", "p99", "p99.9", "max", "late p99", "late max", "spread %"]
    yield Table(columns, [row], spare=("spread %", "late max"))
    if found.p999_why:
        yield found.p999_why
    change = f"{abs(found.drift):.1%} {'slower' if found.drift > 0 else 'faster'}"
    yield f"drift: the last {found.part_s:g} s are {change} than the first (medians)"
    yield (
        "a frame sets the inputs, runs and reads the outputs; it is due at a fixed time and must end before the next; "
        "late: how long after its due time it started; due times that pass while a frame runs are skipped"
    )
    yield _sensors(found.sensors)
    yield from _doubts(found.sensors.trouble)
    yield from findings((finding.what, finding) for finding in missed)


def _doubts(trouble: str) -> Iterable[str]:
    if trouble:
        yield f"not to be trusted: {trouble}"


def _on(model: str, runtime: Runtime) -> str:
    return f"{model} on {runtime.name} {runtime.version} ({runtime.why})"
