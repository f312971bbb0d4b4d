"""What the optimisation came to in the files themselves, in sentences that promise nothing that was not measured."""

from __future__ import annotations

from typing import List, Optional, Sequence

from tflite_edge.records.manifest import StepRecord, Variant

# Two timings of one file differ by so much from run to run on a machine that does other things, too.
SAME_SPEED = 0.08


def realised(models: Sequence[Variant], steps: Sequence[StepRecord]) -> List[str]:
    """Of the last file, against the originals that were made beside it. Empty without steps or without files."""
    made = [model for model in models if model.file and not model.original]
    if not made or not steps:
        return []
    last = made[-1]
    originals = [model for model in models if model.file and model.original]
    plain = next((model for model in originals if model.mode == last.mode != "float32"), None)
    lines = [_sizes(last, other) for other in originals[:1] + ([plain] if plain else [])]
    found = last.compression
    if found and found.suffix:
        lines.append(
            f"of all kernels {found.sparsity:.0%} are zeros; half of the weights lie in kernels with "
            f"{found.half_unique} different values or fewer ({found.half_unique_per_channel} in a channel)"
        )
    if last.sparse_tensors:
        lines.append(
            f"{last.sparse_tensors} kernels are stored without their zeros; ai-edge-litert on ARM also computes "
            "without them, where a float model has the shape for it (mobilenet_sparse has), and no other runtime does"
        )
    return [*lines, *_speed(last, plain or next(iter(originals), None), steps)]


def _sizes(last: Variant, other: Variant) -> str:
    parts = [f"{last.bytes / other.bytes:.2f} x the bytes", f"{last.gzip_bytes / other.gzip_bytes:.2f} x gzipped"]
    memory, before = _resident(last), _resident(other)
    if memory and before:
        parts.append(f"{memory / before:.2f} x in memory")
    return f"{last.scheme} against {other.scheme}: {', '.join(parts)}"


def _resident(model: Variant) -> Optional[int]:
    return model.bench.resident_bytes if model.bench else None


def _speed(last: Variant, other: Optional[Variant], steps: Sequence[StepRecord]) -> List[str]:
    """Who made it faster: only channels that are gone, and the change of type, do that to dense kernels."""
    if not (last.bench and other and other.bench):
        return []
    speed = other.bench.median_s / last.bench.median_s
    same = abs(speed - 1) <= SAME_SPEED
    measured = "as fast" if same else f"{speed:.2f} x as fast"
    where = f"{other.scheme} on {last.bench.runtime.name}, measured on this machine"
    first, final = steps[0].before, steps[-1].after
    causes = []
    if any(step.name == "channels" for step in steps):
        left = min((step.after.macs for step in steps if step.after.macs), default=None)
        macs = f"{1 - left / first.macs:.0%} fewer multiply-accumulates, " if left and first.macs else ""
        causes.append(f"channels were removed: {macs}{1 - final.parameters / first.parameters:.0%} fewer parameters")
    if last.mode != other.mode:
        causes.append(f"{last.mode} kernels against {other.mode} ones")
    asleep = [word for name, word in (("prune", "zeros"), ("cluster", "shared values")) if _has(steps, name)]
    if asleep:
        causes.append(f"dense kernels gain no speed from {' or '.join(asleep)}, only what is compressed gets smaller")
    if not (last.bench.stable and other.bench.stable):
        causes.append("the times are not steady: the machine was busy")
    return [f"{measured} as {where}" + (f" ({'; '.join(causes)})" if causes else "")]


def _has(steps: Sequence[StepRecord], name: str) -> bool:
    return any(step.name == name for step in steps)
