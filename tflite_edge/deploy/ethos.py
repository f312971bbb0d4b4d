"""A model for an Ethos-U beside a microcontroller: compiled by Arm's Vela, as C source with Vela's own estimate."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tflite_edge.deploy import mcu
from tflite_edge.deploy.accelerator import Accelerator, Contents, placed, table
from tflite_edge.deploy.build import Build
from tflite_edge.flatbuffer import Facts, inspect
from tflite_edge.records.errors import ModelError
from tflite_edge.records.plain import to_plain
from tflite_edge.records.verdict import Finding
from tflite_edge.targets import vela
from tflite_edge.targets.vela import VelaEstimate

OPERATOR = "ethos-u"  # the one custom operator that Vela leaves for all that the NPU does
SCRATCH = ("scratch", "scratch_fast")  # Vela's names of its own memory in the arena


def ethos_files(build: Build, target: str, *, accept_degraded: bool = False) -> Contents:
    """The files for `target` and what was found. Raises MissingError without Vela, ModelError where nothing of the
    model runs on the NPU, or what is left to the microcontroller has no kernel there."""
    vela.program()  # refused before anything is run
    found = placed(build.model, target, accept_degraded=accept_degraded)
    name = build.manifest.name
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as folder:
        plain = mcu.stripped(build.model, Path(folder))
        content, estimate = vela.compile_for(plain, target)
        if not estimate.npu_operators and not accept_degraded:
            raise ModelError(
                f"Vela places nothing of {plain.name} on the {target}",
                evidence=f"{estimate.cpu_operators} operators are left to the CPU",
                do="pack an int8 model with --model int8; --accept-degraded packs it all the same",
            )
        model = Path(folder) / f"{plain.stem}_vela.tflite"
        model.write_bytes(content)
        arena, why = arena_of(inspect(model))
        sources = mcu.sources(model, name, arena, why, methods(model))
    command = f"vela {plain.name} --accelerator-config {target}"
    split = f"{estimate.npu_operators} operators on the NPU, {estimate.cpu_operators} on the CPU, as Vela splits them"
    said = f"Vela {estimate.vela}: {split}"
    accelerator = Accelerator(found, said, model.name, command, estimate)
    edges = sum(row.edge for row in found.rows)  # which only write inputs and outputs down in another type
    findings = (_left(estimate, target),) if estimate.cpu_operators > edges else ()
    files = {
        **sources,
        model.name: content,
        "README.md": _read_me(build, target, accelerator, estimate, f"{arena:,} bytes; {why}").encode(),
        "vela.json": (json.dumps(to_plain(estimate), indent=1) + "\n").encode(),
    }
    return Contents(files, tuple(summary(estimate)), findings, accelerator)


def methods(model: Path) -> list[str]:
    """The resolver's methods for a model that Vela compiled. Raises ModelError for what is left and has none."""
    names = {operator.name for operator in inspect(model).operators}
    unspelled = sorted(names - set(mcu.METHODS) - {OPERATOR})
    if unspelled:
        raise ModelError(
            f"what Vela leaves to the microcontroller does not start there: {', '.join(unspelled)}",
            do="tflite-edge check MODEL --target mcu says why",
        )
    return sorted("AddEthosU" if name == OPERATOR else mcu.METHODS[name] for name in names)


def arena_of(facts: Facts) -> tuple[int, str]:
    """(bytes, why): the memory that Vela reserves for the NPU, and what the rest of the model takes at once."""
    own = sum(math.prod(tensor.shape) for tensor in facts.tensors if tensor.name in SCRATCH and not tensor.constant)
    planned = (facts.arena.planned_bytes if facts.arena else None) or 0
    operators = sum(operator.count for operator in facts.operators)
    bytes_ = own + planned + mcu.ROOM_BYTES + mcu.ROOM_OPERATOR_BYTES * operators
    return -(-bytes_ // 1024) * 1024, (
        f"an estimate: {own:,} bytes that Vela reserves for the NPU, {planned:,} of other activations and room for the "
        "interpreter; arena_used_bytes() tells the truth on the device"
    )


def summary(estimate: VelaEstimate) -> Iterable[str]:
    """Vela's estimate in sentences."""
    if estimate.cycles is not None and estimate.inference_s is not None:
        yield (
            f"estimated by Vela, not measured: {estimate.cycles:,} cycles, {1e3 * estimate.inference_s:.3f} ms for an "
            f"inference, if the system is {estimate.system} and memory {estimate.memory}"
        )
    memory = f"SRAM {estimate.sram_bytes:,}, DRAM {estimate.dram_bytes:,}, flash {estimate.flash_bytes:,} bytes"
    yield f"memory by Vela: {memory}"


def _left(estimate: VelaEstimate, target: str) -> Finding:
    return Finding(
        f"Vela leaves {estimate.cpu_operators} operators to the CPU",
        f"{estimate.npu_operators} run on the NPU",
        f"tflite-edge check MODEL --target {target} --explain says which and why",
    )


def _read_me(build: Build, target: str, accelerator: Accelerator, estimate: VelaEstimate, arena: str) -> str:
    record, said = build.preprocess, "".join(f"- {line}.\n" for line in (accelerator.compiler, *summary(estimate)))
    return (
        f"# {build.manifest.name} for {target}\n\n"
        "Add the model's two files to the firmware, with Arm's driver (ethos-u-core-driver) and tflite-micro's ethos_u "
        "kernel; include the operators' header where the interpreter is made.\n\n"
        f"{said}"
        f"- Made by `{accelerator.command}` from {build.variant.file} (SHA-256 {build.variant.sha256}), stripped of "
        "names and labels. Other system and memory settings: Vela's --config, --system-config, --memory-mode.\n"
        f"- Arena: {arena}.\n"
        f"- Input: (value - {list(record.mean)}) / {list(record.std)}, then the tensor's scale and zero point.\n"
        f"- Classes: {', '.join(build.manifest.source.labels) or '-'}\n\n"
        f"{table(accelerator.placement)}"
    )
