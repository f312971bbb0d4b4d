"""What the optimisation came to in the files themselves, in sentences that promise nothing that was not measured."""

from __future__ import annotations

from typing import Iterator, List, Optional, Sequence

from tflite_edge.records.manifest import StepRecord, Variant

# Two timings of one file differ by so much from run to run on a machine that does other things, too.
SAME_SPEED = 0.08

LOCAL = "local"  # the target that is this machine


def chosen_of(models: Sequence[Variant]) -> Optional[Variant]:
    """The one that is told of: the int8 file, or else the last one; None where nothing was made."""
    made = [model for model in models if model.file and not model.original]
    return next((model for model in made if model.mode == "int8"), made[-1] if made else None)


def realised(models: Sequence[Variant], steps: Sequence[StepRecord], on: str = LOCAL) -> List[str]:
    """Of the int8 file, or else the last one, against the originals beside it. Empty without steps or without files.

    on: the target that the times are of.
    """
    chosen = chosen_of(models)
    if chosen is None or not steps:
        return []
    originals = [model for model in models if model.file and model.original]
    plain = next((model for model in originals if model.mode == chosen.mode), None)
    others = [*originals[:1], *([plain] if plain and plain is not originals[0] else [])]
    lines = [_sizes(chosen, other, plain is None) for other in others]
    found = chosen.compression
    if found and (found.suffix or _has(steps, "prune") or _has(steps, "cluster")):
        lines.append(
            f"of all kernels {found.sparsity:.0%} are zeros; half of the weights lie in kernels with "
            f"{found.half_unique} different values or fewer ({found.half_unique_per_channel} in a channel)"
        )
    if chosen.sparse_tensors and chosen.mode in ("float32", "float16"):
        lines.append(
            f"{chosen.sparse_tensors} kernels are stored without their zeros; ai-edge-litert on ARM also computes "
            "without them where the model has the shape for it, as mobilenet_sparse has (counted in instructions)"
        )
    return [*lines, *([_speed(chosen, others[-1], steps, on)] if others else [])]


def _sizes(made: Variant, other: Variant, no_plain: bool) -> str:
    parts = [f"{made.bytes / other.bytes:.2f} x the bytes", f"{made.gzip_bytes / other.gzip_bytes:.2f} x gzipped"]
    memory, before = _resident(made), _resident(other)
    if memory and before:
        parts.append(f"{memory / before:.2f} x in memory")
    share = f" (what {made.mode} alone saves is in it)" if no_plain else ""
    return f"{made.scheme} against {other.scheme}: {', '.join(parts)}{share}"


def _resident(model: Variant) -> Optional[int]:
    return model.bench.resident_bytes if model.bench else None


def _speed(made: Variant, other: Variant, steps: Sequence[StepRecord], on: str) -> str:
    """How fast, and who may have done it: channels that are gone, another type; not zeros and shared values."""
    if not (made.bench and other.bench):
        return f"no speed was measured against {other.scheme}"
    speed = other.bench.median_s / made.bench.median_s
    measured = "as fast" if abs(speed - 1) <= SAME_SPEED else f"{speed:.2f} x as fast"
    causes = [*_causes(made, other, steps)]
    if not causes and measured != "as fast":
        causes.append("no step explains that: noise, or operators that differ")
    idle = [word for name, word in (("prune", "zeros"), ("cluster", "shared values")) if _has(steps, name)]
    if idle and not made.sparse_tensors:
        causes.append(f"dense kernels gain no speed from {' or '.join(idle)}")
    if not (made.bench.stable and other.bench.stable):
        causes.append("the times are not steady: the machine was busy")
    where = f"{other.scheme} on {made.bench.runtime.name}, measured on {'this machine' if on == LOCAL else on}"
    return f"{measured} as {where}" + (f" ({'; '.join(causes)})" if causes else "")


def _causes(made: Variant, other: Variant, steps: Sequence[StepRecord]) -> Iterator[str]:
    if _has(steps, "channels"):
        first, final = steps[0].before, steps[-1].after
        left = min((step.after.macs for step in steps if step.after.macs), default=None)
        macs = f"{1 - left / first.macs:.0%} fewer multiply-accumulates, " if left and first.macs else ""
        yield f"channels were removed: {macs}{1 - final.parameters / first.parameters:.0%} fewer parameters"
    if made.mode != other.mode:
        yield f"{made.mode} against {other.mode}"


def _has(steps: Sequence[StepRecord], name: str) -> bool:
    return any(step.name == name for step in steps)
