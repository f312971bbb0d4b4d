"""Proof that two files answer the same: on every runtime of this machine that runs the first, in child processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from tflite_edge.records.errors import MissingError, ModelError
from tflite_edge.records.job import RUNTIMES, IdenticalResult, Job
from tflite_edge.records.plain import from_plain
from tflite_edge.targets.local import Local

DEADLINE_S = 300.0
RUNS = 20


@dataclass(frozen=True)
class Proof:
    """On one runtime. result: None where it did not run, with the reason in `why`; different: "" or what differs."""

    runtime: str
    result: Optional[IdenticalResult]  # noqa: UP045 - as the other records
    why: str = ""

    @property
    def different(self) -> str:
        return self.result.different if self.result else ""


def prove(original: str, other: str, *, pack: str | None = None, runs: int = RUNS) -> tuple[Proof, ...]:
    """One proof for each of RUNTIMES. A runtime that is missing, or that cannot run the original either, is no witness.

    Raises what the harness raised about `other`, and MissingError where there is no witness at all.
    """
    proofs = tuple(_ask(name, original, other, pack, runs) for name in RUNTIMES)
    if not any(proof.result for proof in proofs):
        raise MissingError(
            "no runtime here can prove that the new file answers as the old one",
            evidence="\n".join(f"{proof.runtime}: {proof.why}" for proof in proofs),
            do="pip install 'tflite-edge[runtime]', or look at the model with `tflite-edge bench`",
        )
    return proofs


def _ask(name: str, original: str, other: str, pack: str | None, runs: int) -> Proof:
    job = Job("identical", original, against=other, runtime=name, runs=runs, pack=pack)
    try:
        return Proof(name, from_plain(IdenticalResult, Local().run(job, deadline_s=DEADLINE_S)))
    except MissingError as error:
        return Proof(name, None, error.what)
    except ModelError as error:
        if other in error.what:
            raise
        return Proof(name, None, f"{error.what}: {error.evidence}"[:300])
