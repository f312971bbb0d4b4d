"""Records as tables for people: at most 100 columns, units in the heads, a dash for what was not measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tflite_edge.cli import show_model, show_repair
from tflite_edge.cli.show_check import placement, said
from tflite_edge.cli.sink import Table
from tflite_edge.records.job import BenchResult, LearnResult, Runtime, ScoreResult
from tflite_edge.records.manifest import Manifest, StepRecord
from tflite_edge.records.realised import LOCAL
from tflite_edge.records.verdict import Finding
from tflite_edge.report.words import STEP_COLUMNS, kib, learns, milliseconds, percent, step_cells

if TYPE_CHECKING:
    from tflite_edge.deploy.package import Packed
    from tflite_edge.evaluation import Evaluation
    from tflite_edge.flatbuffer.facts import Facts


def conversion(manifest: Manifest, out: Path) -> Iterable[Table | str]:
    from tflite_edge.cli import show_estimate  # which needs this module's figures

    source = manifest.source
    counts = ", ".join(f"{count} {name}" for name, count in source.samples.items())
    keras = "" if source.keras_top1 is None else f"; float top-1 {source.keras_top1:.2%}"
    yield f"{source.model}: {source.parameters:,} parameters; {source.data}: {counts}{keras}"
    yield from (f"{key}: {why}" for key, why in source.why.items())
    yield from (f"note: {note}" for note in source.notes)
    if source.steps:
        yield _steps(source.steps)
        yield from _spared(source.steps)
    floats = [model.bench.median_s for model in manifest.models if model.mode == "float32" and model.bench]
    emulated = next((model.estimate for model in manifest.models if model.estimate), None)
    rows = []
    for model in manifest.models:
        score, bench = model.score, model.bench
        interval = "" if model.drop_ci is None else f" ±{model.drop_ci:.2f}"
        drop = "-" if model.drop is None else f"{model.drop:+.2f}{interval}"
        rows.append(
            [
                model.scheme if model.file else f"({model.mode})",
                kib(model.bytes if model.file else None),
                kib(model.gzip_bytes if model.file else None),
                kib(bench.resident_bytes if bench else None),
                percent(_quality(score) if score else None),
                drop,
                percent(score.agreement if score else None),
                *(show_estimate.estimated(model.estimate) if emulated else _timed(bench, floats)),
                "-" if model.original else model.verdict,
            ]
        )
    quality = "AUC %" if source.task == "anomaly" else "top-1 %"
    speed = ["M instr", f"{emulated.board} ms predicted"] if emulated else ["ms", "x float"]
    columns = ["scheme ", "KiB", "gzip", "in RAM", quality, "drop points", "agree %", *speed, "verdict "]
    spare = [column for column in ("gzip", "in RAM", "x float", "agree %") if column in columns]
    yield Table(columns, rows, spare=spare)
    for model in manifest.models:
        if model.repair:
            yield from show_repair.ladder(model.repair, model.scheme)
    yield from manifest.realised
    yield from (learns(model) for model in manifest.models if model.learning)
    yield from findings((f.what, f) for model in manifest.models for f in model.findings)
    yield from dict.fromkeys(f"{model.mode}: {model.why}" for model in manifest.models if model.why)
    asked = manifest.recipe.target.runtime
    if asked != "auto":
        yield from (f"{model.mode} for {asked}: {model.proof}" for model in manifest.models if model.proof)
    ran = next((model.bench for model in manifest.models if model.bench), None)
    if ran:
        threads = f"{ran.threads} thread{'s' if ran.threads > 1 else ''}"
        yield f"ran on {ran.runtime.name} {ran.runtime.version}, {threads}, {_where(manifest, ran.runtime)}"
    scored = next((model.score for model in manifest.models if model.score and not model.bench), None)
    if scored:
        emulator = manifest.recipe.target.on.startswith("emulator:")
        yield (
            f"ran on {scored.runtime.name} {scored.runtime.version}, on {scored.images} samples: "
            f"{_where(manifest, scored.runtime)}"
            + ("; no times, because an emulated clock says nothing" if emulator else "")
        )
    if emulated:
        yield from show_estimate.counted_on(emulated)
        yield from show_estimate.extrapolated(manifest.models)
    yield f"in {out}: {manifest.name}-SCHEME.tflite, manifest.json, labels.txt, samples.npz"


def _where(manifest: Manifest, runtime: Runtime) -> str:
    """The target that ran the files; the host's CPU is that of no other."""
    on = manifest.recipe.target.on
    return f"this machine ({manifest.host['cpu']})" if on == LOCAL else f"{runtime.machine}, {on}"


def _timed(bench: BenchResult | None, floats: Sequence[float]) -> list[str]:
    if bench is None:
        return ["-", "-"]
    return [milliseconds(bench.median_s), f"{floats[0] / bench.median_s:.2f}" if floats else "-"]


def learning(result: LearnResult, model: str, out: Path | None) -> Iterable[Table | str]:
    runtime = f"{result.runtime.name} {result.runtime.version}"
    yield f"{model} on {runtime}: {result.samples} samples learnt, {result.before.images} held out"
    rows = [["0", "-", f"{result.start.held_out_loss:.4f}", percent(result.start.top1), _kept(result, 0)]]
    rows += [
        [str(number), f"{epoch.loss:.4f}", f"{epoch.held_out_loss:.4f}", percent(epoch.top1), _kept(result, number)]
        for number, epoch in enumerate(result.epochs, 1)
        if number in {1, result.best, len(result.epochs)} or number % max(1, len(result.epochs) // 8) == 0
    ]
    yield Table(["epoch", "loss", "held-out loss", "held-out top-1 %", "kept "], rows)
    if result.resumed:
        yield f"went on after epoch {result.resumed} of a run that was stopped"
    if result.new_classes:
        yield f"new classes: {', '.join(map(str, result.new_classes))}"
    yield result.why
    if result.step_s is not None:
        yield (
            f"{result.steps} steps of {result.batch} samples, {1 / result.step_s:,.0f} a second (median "
            f"{milliseconds(result.step_s)} ms); features of all samples once, {result.features_s:.2f} s"
        )
    if out is not None and result.head_bytes is not None:
        yield f"wrote {out}: {result.head_bytes:,} bytes"
    elif out is not None:
        yield f"{out} was not written: what was there is as it was"


def _kept(result: LearnResult, number: int) -> str:
    return "kept" if number == result.best else ""


def _quality(score: ScoreResult) -> float | None:
    return score.auc if score.task == "anomaly" else score.top1


def _steps(steps: Sequence[StepRecord]) -> Table:
    """What each step did to the Keras model."""
    return Table(STEP_COLUMNS, [step_cells(step, "->") for step in steps], spare=("MACs",))


def _spared(steps: Sequence[StepRecord], most: int = 4) -> Iterable[str]:
    """Who was left alone, a line for each reason; layers that nobody asked for are not news."""
    for step in steps:
        reasons = [why for why in dict.fromkeys(step.spared.values()) if why != "not asked for"]
        for why in reasons:
            names = [name for name, own in step.spared.items() if own == why]
            more = f" and {len(names) - most} more" if len(names) > most else ""
            yield f"{step.name} left {', '.join(names[:most])}{more} alone: {why}"


def findings(found: Iterable[tuple[str, Finding]], head: str = "broken promise") -> Iterable[str]:
    for what, finding in found:
        yield f"{head}: {what}"
        yield from (f"  {line}" for line in finding.evidence.splitlines())
        if finding.do:
            yield f"  do: {finding.do}"


def facts(facts: Facts) -> Iterable[Table | str]:
    file, weights = facts.file, facts.weights
    yield f"{file.name}: {facts.scheme} ({facts.scheme_why})"
    yield (
        f"{file.size_bytes:,} bytes, {file.gzip_bytes:,} gzipped, {file.container_bytes:,} of them structure; "
        f"{weights.parameters:,} parameters"
    )
    yield (
        f"weights: {weights.per_channel} tensors per-channel, {weights.per_tensor} per-tensor, "
        f"{weights.tensors - weights.per_channel - weights.per_tensor} not quantised"
    )
    if facts.compression:
        found = facts.compression
        yield (
            f"kernels: {found.sparsity:.1%} zeros; half of the weights lie in kernels with {found.half_unique} "
            f"different values or fewer ({found.half_unique_per_channel} in a channel)"
        )
    if facts.sparse.tensors:
        stored = facts.sparse
        yield (
            f"sparse storage: {stored.tensors} tensors take {stored.size_bytes:,} bytes with their indices, "
            f"{stored.dense_bytes:,} if stored whole"
        )
    yield from show_model.container(facts)
    yield from show_model.cost(facts)
    yield from show_model.islands(facts)
    edge = [("input", tensor) for tensor in facts.inputs] + [("output", tensor) for tensor in facts.outputs]
    rows = [
        [side, tensor.name, tensor.dtype, str(list(tensor.shape)), _scale(tensor.scale, tensor.zero_point)]
        for side, tensor in edge
    ]
    yield Table(["edge ", "tensor ", "type ", "shape ", "scale, zero point "], rows)
    rows = [[str(op.count), op.name + (" (custom)" if op.custom else ""), str(op.version)] for op in facts.operators]
    yield Table(["count", "operator ", "version"], rows)
    named = ", ".join(f"#{op.index} {op.name}" for op in facts.float_operators[:8])
    if facts.float_operators and facts.scheme.startswith(("mixed", "static")):
        yield f"float operators left: {len(facts.float_operators)}: {named}"
    if facts.dynamic_shapes:
        yield "some activations have dynamic shapes"
    yield from show_model.described(facts)
    yield from show_model.signatures(facts)
    yield f"smallest runtime, as the converter wrote it: {file.min_runtime_version or '-'}"


def _scale(scale: float | None, zero_point: int | None) -> str:
    return "-" if scale is None else f"{scale:.6g}, {zero_point}"


def run_row(result: BenchResult, model: str) -> Iterable[Table | str]:
    memory = [
        "-" if count is None else f"{count / 2**20:.1f}" for count in (result.peak_rss_bytes, result.resident_bytes)
    ]
    times = (result.init_s, result.first_s, result.median_s, result.p90_s, result.p99_s, result.min_s)
    columns = [
        "init ms",
        "first ms",
        "median ms",
        "p90",
        "p99",
        "min",
        "spread %",
        "runs",
        "threads",
        "peak MiB",
        "own MiB",
    ]
    row = [
        *(milliseconds(seconds) for seconds in times),
        f"{100 * result.spread:.1f}",
        str(len(result.samples_s)),
    ]
    yield f"{model} on {result.runtime.name} {result.runtime.version} ({result.runtime.why})"
    yield Table(columns, [[*row, str(result.threads), *memory]], spare=("min", "p90", "spread %", "first ms"))
    yield result.stability
    yield from filter(None, (result.peak_rss_why, result.resident_why))


def evaluation(result: Evaluation, model: str, on: str = LOCAL) -> Iterable[Table | str]:
    score = result.score
    yield f"{model} on {score.images} test samples, {score.runtime.name} {score.runtime.version} ({score.runtime.why})"
    yield from elsewhere(on)
    yield f"normalize: {result.why}"
    yield from (f"note: {note}" for note in result.notes)
    if score.task == "classification":
        yield Table(
            ["top-1 %", "top-5 %", "images/s", "workers"],
            [[percent(score.top1), percent(score.top5), f"{score.images_per_s:,.0f}", str(score.workers)]],
        )
        yield from _confused(score, result.labels)
    elif score.task == "anomaly":
        auc = "- (all samples are normal, or none is)" if score.auc is None else f"{score.auc:.4f}"
        yield f"AUC of the reconstruction error {auc}, {score.images_per_s:,.0f} samples/s"
    elif score.mae is not None:
        yield f"mean absolute error {score.mae:.6g}, {score.images_per_s:,.0f} samples/s"


def elsewhere(on: str) -> Iterable[str]:
    """The target, where it is not this machine."""
    if on != LOCAL:
        yield f"ran on {on}"


def _confused(score: ScoreResult, labels: tuple[str, ...]) -> Iterable[str]:
    pairs = [(count, *map(int, pair.split(","))) for pair, count in (score.confusion or {}).items()]
    wrong = sorted(((count, true, said) for count, true, said in pairs if true != said), reverse=True)[:5]
    if wrong:
        yield "most confused: " + ", ".join(
            f"{labels[true]} taken for {labels[said]} ({count})" for count, true, said in wrong
        )


def packed(packed: Packed) -> Iterable[Table | str]:
    """What was packed, the largest files first."""
    largest = sorted(packed.files.items(), key=lambda file: -file[1])
    shown = largest[:8]
    rows = [[name, f"{size:,}"] for name, size in shown]
    if len(largest) > len(shown):
        rows.append([f"{len(largest) - len(shown)} more", f"{sum(size for _, size in largest[len(shown) :]):,}"])
    yield Table(["file ", "bytes"], rows)
    yield f"model: {packed.model} ({packed.why})"
    if packed.accelerator:
        yield from placement(packed.model, packed.accelerator.placement, explain=False)
        yield f"compiler: {packed.accelerator.compiler}"
    yield from packed.notes
    yield from (line for finding in packed.findings for line in said(finding))
    yield f"{packed.path}: {packed.bytes:,} bytes, SHA-256 {packed.sha256[:16]}..."
    if packed.signature:
        yield f"signed: {packed.signature}"
    if "install.sh" in packed.files:
        archive = Path(packed.path).name
        if archive.endswith(".deb"):
            yield f"on the board: sudo apt install ./{archive}"
            return
        yield f"on the board: tar xzf {archive} && {archive.removesuffix('.tar.gz')}/install.sh"
