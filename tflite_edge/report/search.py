"""The report of a search: the front, the budget, all trials, and the recipe that is recommended."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tflite_edge.records import verdict
from tflite_edge.records.search import COMPLETE, FAILED, MEASURED, PREDICTED, PRUNED, Study, Trial
from tflite_edge.records.verdict import Finding
from tflite_edge.report.evidence import shown, sound
from tflite_edge.report.figures.lines import Axis, Progress, Step, Thread, parallel, progress
from tflite_edge.report.figures.scatter import Panel, Point, scatter
from tflite_edge.report.page import Code, Figure, Items, Note, Page, Part, Section, Table, Text, Tile
from tflite_edge.report.svg import number
from tflite_edge.report.words import kib, milliseconds, percent, points, times, word

BEST = "best.toml"
NAMED = 40  # points of the front that can have their numbers beside them
LEAST_WORST = 5.0  # points below float
STATES = {COMPLETE: "", PRUNED: "stopped early", FAILED: "failed"}


@dataclass(frozen=True)
class Searched:
    """best_toml: the recommended recipe as it was written; "" where there is none. missing: what could not be told."""

    study: Study
    best_toml: str = ""
    missing: Sequence[Finding] = field(default_factory=tuple)

    @property
    def best(self) -> Trial | None:
        return self.study.trial(self.study.best)

    @property
    def reference(self) -> Trial | None:
        return next((trial for trial in self.study.trials if trial.origin == "reference"), None)


def nonsense(study: Study) -> str:
    """The first figure that nothing can have measured, and that no axis could show; "" where all are sound."""
    budget = study.budget
    for name in ("max_bytes", "max_latency_s", "max_drop"):
        if not sound(getattr(budget, name), below=False):
            return f"budget: {name}: {shown(getattr(budget, name))}"
    for trial in study.trials:
        figures = {name: getattr(trial, name) for name in ("number", "bytes", "gzip_bytes", "latency_s", "seconds")}
        either = {name: getattr(trial, name) for name in ("drop", "drop_ci", "top1", "energy_mj")}
        either |= {name: value for name, value in trial.point.items() if isinstance(value, (int, float))}
        for below, told in ((False, figures), (True, either)):
            for name, value in told.items():
                if not sound(value, below=below):
                    return f"trial {shown(trial.number)}: {name}: {shown(value)}"
    return ""


def page(found: Searched) -> Page:
    study = found.study
    missing = [Note(f.what, [*filter(None, (f.evidence, f"do: {f.do}" if f.do else ""))], "bad") for f in found.missing]
    if not study.complete:
        missing.insert(0, Note("The search is not finished: what follows is what there was.", (), "bad"))
    sections = [_recommended(found), _front(found), _progress(found), _trials(found), _space(found), _again(found)]
    return Page(
        name=study.name,
        kind="Search report",
        verdict=verdict.OK if found.best else verdict.FAILED if study.complete else verdict.DEGRADED,
        headline=_headline(found),
        tiles=list(_tiles(found)),
        sections=[section for section in sections if section.parts],
        missing=missing,
    )


def _headline(found: Searched) -> str:
    study, best = found.study, found.best
    if not study.trials:
        return "The search tried nothing yet."
    tried = len(study.tried)
    if best is None:
        near = study.trial(study.nearest)
        told = f" Nearest is {_called(near)}: {_numbers(near)}." if near else ""
        return f"{'The one trial does not keep' if tried == 1 else f'None of {tried} trials keeps'} the budget.{told}"
    return f"Of {tried} trial{'' if tried == 1 else 's'}, {_called(best)} is recommended: {_numbers(best)}."


def _called(trial: Trial) -> str:
    return f"trial {trial.number}" + ("" if trial.origin == "sampled" else f" ({trial.origin})")


def _numbers(trial: Trial) -> str:
    parts = [f"{kib(trial.bytes)} KiB ({kib(trial.gzip_bytes)} KiB gzipped)"] if trial.bytes else []
    parts += [f"top-1 {percent(trial.top1)} %"] if trial.top1 is not None and trial.top1 >= 0 else []
    parts += [f"{points(trial.drop, trial.drop_ci)} points below the float model"] if trial.drop is not None else []
    if trial.latency_s is not None:
        parts.append(f"{milliseconds(trial.latency_s)} ms {trial.latency_kind} on {trial.latency_on or 'local'}")
    return "; ".join(parts) or "nothing is known of it"


def _tiles(found: Searched) -> Iterator[Tile]:
    study, reference = found.study, found.reference
    best = found.best or study.trial(study.nearest)
    if best is None:
        return
    budget = study.budget
    if best.drop is not None:
        limit = "" if budget.max_drop is None else f"budget {budget.max_drop:g}"
        yield Tile("points below float", f"{best.drop + 0.0:+.2f}", "", limit)
    size = "gzipped" if budget.compressed else "file"
    known = [f"budget {kib(budget.max_bytes)}"] if budget.max_bytes is not None else []
    if reference and best.size(budget.compressed):
        known.append(f"{times(best.size(budget.compressed), reference.size(budget.compressed))} float")
    yield Tile(size, kib(best.size(budget.compressed)), "KiB", ", ".join(known))
    if best.latency_s is not None:
        limit = f", budget {1e3 * budget.max_latency_s:g}" if budget.max_latency_s is not None else ""
        yield Tile(f"{best.latency_kind} latency", milliseconds(best.latency_s), "ms", f"{best.latency_on}{limit}")
    hits, made = study.cache_hits.get("found", 0), study.cache_hits.get("made", 0)
    share = f"{hits / (hits + made):.0%} of the steps were found done" if hits + made else ""
    yield Tile(
        "time", f"{study.seconds / 60:,.1f}", "min", ", ".join(filter(None, (f"{len(study.tried)} trials", share)))
    )


def _recommended(found: Searched) -> Section:
    study, best = found.study, found.best
    parts: list[Part] = []
    if study.why:
        parts.append(Text(study.why[0].upper() + study.why[1:] + ("" if study.why.endswith(".") else ".")))
    parts.append(
        Table(["limit ", "budget", "found"], _budget(found)) if _budget(found) else Text("There was no budget.")
    )
    if best is not None and found.best_toml:
        parts.append(Code(_bare(found.best_toml), "toml"))
    elif best is not None:
        parts.append(Items([f"{key} = {_bare(word(value))}" for key, value in best.changes.items()]))
    return Section("best", "The recommended recipe" if best else "Nothing keeps the budget", parts)


def _budget(found: Searched) -> list[list[str]]:
    budget, study = found.study.budget, found.study
    best = found.best or study.trial(study.nearest)
    rows = []
    if budget.max_drop is not None:
        rows.append(["points below float", f"{budget.max_drop:g}", points(best.drop, best.drop_ci) if best else "-"])
    if budget.max_bytes is not None:
        name = "bytes, gzipped" if budget.compressed else "bytes"
        size = best.size(budget.compressed) if best else None
        rows.append([name, f"{budget.max_bytes:,}", "-" if size is None else f"{size:,}"])
    if budget.max_latency_s is not None:
        latency = best.latency_s if best else None
        told = "-" if latency is None or best is None else f"{milliseconds(latency)} {best.latency_kind}"
        rows.append([f"latency on {budget.latency_on}, ms", f"{1e3 * budget.max_latency_s:g}", told])
    return rows


def _kind(found: Searched, trial: Trial) -> str:
    if found.best is trial:
        return "chosen"
    return "made" if trial.front else "original" if trial.origin == "reference" else "other"


def _worst(study: Study) -> float:
    """Points below float at which an axis ends: trials that have learnt nothing would press all others together."""
    known = [trial.drop for trial in study.trials if trial.drop is not None and (trial.front or trial.feasible)]
    return max([LEAST_WORST, 3 * (study.budget.max_drop or 0.0), *(2 * drop for drop in known)])


def _beyond(study: Study) -> str:
    count = sum(trial.drop is not None and trial.drop > _worst(study) for trial in study.trials)
    return f" Not shown: {count} with more than {_worst(study):g} points lost." if count else ""


def _front(found: Searched) -> Section:
    study = found.study
    names = len(study.front) <= NAMED
    judged = [trial for trial in study.trials if trial.drop is not None and trial.bytes is not None]
    told = [trial for trial in judged if trial.drop is not None and trial.drop <= _worst(study)] or judged
    if not told:
        return Section("front", "The front", [Text("No trial was judged.")] if study.trials else [])
    compressed = study.budget.compressed
    limit = study.budget.max_bytes
    panels = [
        Panel(
            "gzipped" if compressed else "as stored",
            "KiB",
            [_point(found, trial, (trial.size(compressed) or 0) / 1024, names=names) for trial in told],
            (limit / 1024, "budget") if limit is not None else None,
        )
    ]
    for kind in (MEASURED, PREDICTED):  # never on one axis
        timed = [t for t in told if t.latency_s is not None and t.latency_kind == kind]
        if len(timed) > 1:  # of one alone nothing can be compared
            limit_s = study.budget.max_latency_s
            mine = limit_s is not None and any(t.latency_on in study.budget.places for t in timed)
            where = ", ".join(dict.fromkeys(t.latency_on for t in timed if t.latency_on))
            panels.append(
                Panel(
                    f"latency, {kind}",
                    f"ms on {where}" if where else "ms",
                    [_point(found, t, 1e3 * t.latency_s, names=names) for t in timed if t.latency_s is not None],
                    (1e3 * limit_s, "budget") if mine and limit_s is not None else None,
                )
            )
    drop = study.budget.max_drop
    front = study.front
    figure = Figure(
        "pareto",
        "What a byte buys: points of accuracy against size",
        f"{len(told)} trials; {len(front)} are on the front. The table has their figures.",
        lambda width: scatter(
            width, panels, "points against float", limit=(-drop, "budget") if drop is not None else None, front=False
        ),
        _table(found, front, title="The front, smallest first"),
        "Up and to the left is better. Red: recommended; blue: on the front; both with 95 % intervals. Hollow: the "
        f"float reference; small: all others.{_beyond(study)}",
    )
    return Section("front", "The front", [figure])


def _point(found: Searched, trial: Trial, x: float, *, names: bool) -> Point:
    assert trial.drop is not None
    kind = _kind(found, trial)
    half = trial.drop_ci if kind in ("chosen", "made") else None
    low, high = (None, None) if half is None else (-trial.drop - half, -trial.drop + half)
    label = (
        str(trial.number) if kind == "chosen" or (kind == "made" and names) else "float" if kind == "original" else ""
    )
    return Point(x, -trial.drop, label, kind, low, high, f"{_called(trial)}: {_point_words(trial)}")


def _point_words(trial: Trial) -> str:
    told = [
        f"{key} {word(value)}" if not isinstance(value, bool) else key
        for key, value in trial.point.items()
        if value not in (None, False)
    ]
    return ", ".join(told) or "-"


def _progress(found: Searched) -> Section:
    """The least of each goal so far, among the trials that keep the budget."""
    study = found.study
    budget = study.budget

    def there(trial: Trial) -> float | None:
        """A latency of another machine, or of another kind, is none of this goal."""
        return _over(trial.latency_s, 1e-3) if trial.latency_on in budget.places else None

    def shown(trial: Trial) -> float | None:
        return None if trial.drop is None or trial.drop > _worst(study) else trial.drop

    goals: dict[str, tuple[str, Callable[[Trial], float | None], float | None]] = {
        "drop": ("points below float", shown, budget.max_drop),
        "bytes": ("KiB", lambda t: None if t.bytes is None else t.bytes / 1024, _over(budget.max_bytes, 1024)),
        "gzip_bytes": ("KiB gzipped", lambda t: _over(t.gzip_bytes, 1024), _over(budget.max_bytes, 1024)),
        "latency_s": (f"ms on {budget.latency_on}", there, _over(budget.max_latency_s, 1e-3)),
    }
    if len(study.trials) < 2:
        return Section("progress", "How the search went", [])
    panels = [
        Progress(
            title,
            [
                Step(trial.number, value(trial), trial.feasible, _kind(found, trial), f"{_called(trial)}")
                for trial in study.trials
            ],
            None if limit is None else (limit, "budget"),
        )
        for name in study.objectives
        if name in goals
        for title, value, limit in [goals[name]]
        if any(value(trial) is not None for trial in study.trials)
    ]
    if not panels:
        return Section("progress", "How the search went", [])
    figure = Figure(
        "convergence",
        "The best so far, goal by goal",
        "Each trial's value of each goal, in their order, and the least so far among those within the budget.",
        lambda width: progress(width, panels),
        None,
        "Less is better. The line: the least so far among trials that keep the whole budget; hollow: all others."
        + _beyond(study),
    )
    return Section("progress", "How the search went", [figure])


def _over(value: float | None, by: float) -> float | None:
    return None if value is None else value / by


def _bare(text: str) -> str:
    """The text with absolute paths cut to their last part: whose machine it was is nobody's business."""
    return re.sub(r"""(?<![\w.:/])/(?:[^\s/'":,;]+/)+(?=[^\s/'":,;])""", "", text)


def _trials(found: Searched) -> Section:
    study = found.study
    if not study.trials:
        return Section("trials", "All trials", [])
    parts: list[Part] = []
    worst = _worst(study)
    told = [trial for trial in study.trials if trial.point and (trial.drop is None or trial.drop <= worst)]
    if len(told) > 1:
        parts.append(_parallel(found, told))
    table = _table(found, study.trials, full=True)
    failed = [trial for trial in study.trials if trial.state == FAILED]
    parts += [table] if not parts else []
    parts += [Note(f"{_called(trial)} failed", [_point_words(trial), _bare(trial.why)]) for trial in failed]
    return Section("trials", "All trials", parts)


def _parallel(found: Searched, told: Sequence[Trial]) -> Figure:
    names = list(dict.fromkeys(name for trial in told for name in trial.point))
    axes = [Axis(name, [trial.point.get(name) for trial in told], "{:g}".format) for name in names]
    compressed = found.study.budget.compressed
    sizes = [_over(trial.size(compressed), 1024) for trial in told]
    axes.append(Axis("KiB gzipped" if compressed else "KiB", sizes))
    for kind in (MEASURED, PREDICTED):
        times_s = [_over(trial.latency_s, 1e-3) if trial.latency_kind == kind else None for trial in told]
        axes += [Axis(f"ms, {kind}", times_s)] if any(times_s) else []
    axes.append(Axis("points below float", [trial.drop for trial in told], lambda value: f"{value + 0.0:.2f}"))
    threads = [Thread(_kind(found, trial), _called(trial)) for trial in told]
    return Figure(
        "trials-all",
        "Which settings lead where",
        f"Each of {len(told)} trials is a line from its settings to its results.",
        lambda width: parallel(width, axes, threads),
        _table(found, found.study.trials, full=True),
        "A line for each trial, from its settings to its results. Red: recommended; blue: on the front."
        + _beyond(found.study),
    )


def _table(found: Searched, trials: Sequence[Trial], *, full: bool = False, title: str = "") -> Table:
    """Measured and predicted latencies in columns of their own."""
    kinds = [kind for kind in (MEASURED, PREDICTED) if any(trial.latency_kind == kind for trial in trials)]
    energy = any(trial.energy_mj is not None for trial in trials)
    rows = []
    for trial in trials:
        row = [str(trial.number), points(trial.drop, trial.drop_ci), kib(trial.bytes), kib(trial.gzip_bytes)]
        row += [_latency(trial) if trial.latency_kind == kind else "-" for kind in kinds]
        row += [number(trial.energy_mj) if trial.energy_mj is not None else "-"] if energy else []
        row += [f"{trial.seconds:,.0f}", _state(found, trial)] if full else []
        told = ["" if trial.origin == "sampled" else trial.origin, _point_words(trial) if trial.point else ""]
        rows.append([*row, ": ".join(filter(None, told)) or "-"])
    columns = ["trial", "points below float", "KiB", "gzip KiB", *(f"{kind} ms" for kind in kinds)]
    columns += ["measured mJ"] if energy else []
    columns += ["seconds", "state "] if full else []
    strong = next((n for n, trial in enumerate(trials) if found.best is trial), None)
    return Table([*columns, "settings "], rows, title, strong)


def _latency(trial: Trial) -> str:
    return "-" if trial.latency_s is None else milliseconds(trial.latency_s)


def _state(found: Searched, trial: Trial) -> str:
    if found.best is trial:
        return "recommended"
    if trial.state != COMPLETE:
        return STATES.get(trial.state, trial.state)
    return "front" if trial.front else "in budget" if trial.feasible else "over budget"


def _space(found: Searched) -> Section:
    rows = [[name, words] for name, words in found.study.space.items()]
    return Section("space", "What was varied", [Table(["axis ", "values "], rows)] if rows else [])


def _again(found: Searched) -> Section:
    study, best = found.study, found.best
    parts: list[Part] = []
    if best is not None:
        lines = ["# the recommended model again", f"tflite-edge convert {BEST}"]
        if best.file:
            folder = best.file.rpartition("/")[0]
            lines += ["", "# all about it", f"tflite-edge report {folder}"]
        parts += [Code("\n".join(lines)), Text(f"SHA-256 of the file that this makes: {best.sha256}")]
    versions = [["seed", str(study.seed)], *([name, version] for name, version in study.versions.items())]
    parts.append(Table(["program ", "version "], versions))
    return Section("again", "How to make it again", parts)
