"""The harness protocol: a job goes in as one JSON file, one JSON document comes back on stdout.

`python harness.pyz job.json` -> `{"schema": 1, "ok": true, ...result}` with exit status 0, or
`{"schema": 1, "ok": false, "error": {"kind", "what", "evidence", "do"}}` with exit status 1, where `kind`
is a key of ERROR_KINDS. Talk goes to stderr.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple, Type

from tflite_edge.records.cut import Cut
from tflite_edge.records.errors import DataError, EdgeError, MissingError, ModelError, RecipeError
from tflite_edge.records.learning import Epoch, Lesson
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.sensors import Energy, Sensors

SCHEMA = 1
VERBS = (
    "bench", "score", "layers", "ranges", "identical", "realtime", "profile", "learn", "count", "activations",
)  # fmt: skip
RUNTIMES = ("ai-edge-litert", "tflite-runtime")

# "default": what the package runs by itself, with its default delegates (ai-edge-litert: XNNPACK). "reference": the
# plain C++ of TFLite's reference operators. "builtin": the optimised kernels without default delegates.
KERNELS = ("default", "reference", "builtin")

# What the harness raises becomes a kind in the document, and the caller raises the same class again.
ERROR_KINDS: Dict[str, Type[EdgeError]] = {
    "model": ModelError,
    "runtime": MissingError,
    "data": DataError,
    "job": RecipeError,
    "bug": EdgeError,
}


def cores() -> int:
    """The cores this process may run on, as the OS says (containers and taskset give fewer), else those there are."""
    allowed = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(allowed(0)) if allowed else os.cpu_count() or 1


ALL_CORES = 0  # as `workers` of a job: as many as there are cores where it runs


MOST_AT_ONCE = 65_536  # threads, or images: more than any machine has, and far below what a runtime's int holds
MOST_PERIODS = 200_000  # every frame's times are kept: more would be a document of many megabytes


def periods_of(period_s: float, duration_s: float) -> int:
    """How many whole periods are in a duration. Raises RecipeError where these are none, or too many."""
    if not period_s > 0 or not duration_s >= period_s:
        raise RecipeError(f"{duration_s:g} s hold no period of {period_s:g} s", do="such as a period of 33ms for 60s")
    periods = round(duration_s / period_s * (1 + 1e-9) - 0.5)  # 60 s of 20 ms are 3000, whatever the floats say
    if periods > MOST_PERIODS:
        raise RecipeError(
            f"{duration_s:g} s hold {periods:,} periods of {period_s:g} s; {MOST_PERIODS:,} are the most",
            do=f"a shorter run, up to {MOST_PERIODS * period_s:g} s",
        )
    return periods


@dataclass(frozen=True)
class Job:
    """What the harness is to do with one model.

    verb: "bench" (time it on random or packed input), "score" (run a labelled pack through it), "layers" (run a
    pack through it and through a quantised twin, `against`, and compare their tensors), "ranges" (what each of
    `tensors` reaches on every sample of a pack, and what the first `head` of them leave out of the others),
    "identical" (compare its
    answers with those of the file `against`), "realtime" (one inference every period_s for duration_s), "profile"
    (time the model cut short by each of `cuts`), "learn" (train a trainable model's head on a pack, by `lesson`),
    "count" (the instructions of an inference and of one of each of `cuts`, which something counts into the file
    `counts`) or "activations" (what `tensors` hold over a pack, into the file `outputs`).
    runtime: "auto" or one of RUNTIMES. kernels: one of KERNELS. threads: of the interpreter, or of a score's only
    worker.
    workers: interpreters that share a score's images, or ALL_CORES; of several, each has one thread.
    batch: images in one inference of a bench; the inputs are resized. energy: measure that as well, for energy_s, with
        the watts that power_command prints where one is given (on the machine that runs the harness).
    pack: path of a `.npz` with `x`, and optionally `y` and `reference` (see `harness/score.py`).
    lesson: of "learn"; of a "score", that the model is a head, whose features another file computes.
    outputs: path of a `.npy`: of a score, float32 [N, ...], dequantised; of ranges, float32 [N, tensors, 2], the least
        and the most; of "activations", see there.
    pairs: of "layers": numbers of tensors, (of `model`, of `against`), that should hold the same values.
    tensors: of "ranges" and "activations": numbers of float tensors of `model`. head: of "ranges".
    root: where the machine's sensors are read from.
    """

    verb: str
    model: str
    runtime: str = "auto"
    threads: int = 1
    workers: int = 1
    warmups: int = 5
    runs: int = 50
    min_seconds: float = 0.5
    pack: Optional[str] = None
    preprocess: Optional[Preprocess] = None
    outputs: Optional[str] = None
    kernels: str = "default"
    counts: Optional[str] = None
    against: Optional[str] = None
    pairs: Tuple[Tuple[int, ...], ...] = ()
    batch: int = 1
    energy: bool = False
    energy_s: float = 10.0
    power_command: Optional[str] = None
    period_s: Optional[float] = None
    duration_s: float = 60.0
    cuts: Optional[List[Cut]] = None
    root: str = "/"
    lesson: Optional[Lesson] = None
    tensors: Tuple[int, ...] = ()
    head: int = 0
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise RecipeError(
                f"a job of schema {self.schema} meets a harness of schema {SCHEMA}",
                do="use the harness of the same tflite-edge that wrote the job",
            )
        if self.verb not in VERBS:
            raise RecipeError(f"verb must be one of {', '.join(VERBS)}, not {self.verb!r}")
        if self.runtime not in ("auto", *RUNTIMES):
            raise RecipeError(f"runtime must be auto or one of {', '.join(RUNTIMES)}, not {self.runtime!r}")
        if self.kernels not in KERNELS:
            raise RecipeError(f"kernels must be one of {', '.join(KERNELS)}, not {self.kernels!r}")
        if min(self.threads, self.runs, self.batch) < 1 or min(self.workers, self.warmups, self.min_seconds) < 0:
            raise RecipeError("threads, runs and batch are 1 or more; workers, warmups and min_seconds 0 or more")
        if max(self.threads, self.batch) > MOST_AT_ONCE:
            raise RecipeError(f"threads and batch are at most {MOST_AT_ONCE:,}")
        self._check_verb()

    def _check_tensors(self) -> None:
        """What looks at single tensors must know which."""
        if self.verb == "layers" and not self.pairs:
            raise RecipeError("layers needs pairs of tensors")
        if any(len(pair) != 2 for pair in self.pairs):
            raise RecipeError("pairs are two tensor numbers each")
        if self.verb == "activations" and (self.outputs is None or not self.tensors):
            raise RecipeError("activations needs the numbers of tensors, and a file for what they held")
        if self.verb == "ranges" and not (self.tensors and self.head > 0 and self.outputs):
            raise RecipeError("ranges needs tensors, a head of samples and a file for the outputs")

    def _check_verb(self) -> None:
        """Each verb has what it needs."""
        if self.verb in ("score", "layers", "ranges", "learn", "activations") and self.pack is None:
            raise RecipeError(f"{self.verb} needs a pack")
        if self.verb in ("layers", "identical") and self.against is None:
            raise RecipeError(f"{self.verb} needs a second model")
        if self.verb in ("layers", "activations", "ranges"):
            self._check_tensors()
        if self.verb == "realtime":
            periods_of(self.period_s or 0.0, self.duration_s)
        if self.verb == "profile" and not self.cuts:
            raise RecipeError("a profile needs the cuts of its model")
        if self.verb == "count" and (self.counts is None or self.threads != 1):
            raise RecipeError("a count needs the file of the counts, and one thread: more are not counted exactly")
        if self.verb == "learn" and self.lesson is None:
            raise RecipeError("learn needs a lesson")


@dataclass(frozen=True)
class Runtime:
    """Which interpreter ran, and why it was chosen."""

    name: str
    version: str
    why: str
    python: str
    machine: str
    numpy: str


@dataclass(frozen=True)
class Tensor:
    """One input or output as the runtime reports it. scale 0.0 means not quantised."""

    name: str
    dtype: str
    shape: Tuple[int, ...]
    scale: float
    zero_point: int


@dataclass(frozen=True)
class BenchResult:
    """One model timed in one process. Every `*_s` is in seconds; `samples_s` are the raw timed runs.

    init_s: constructor and tensor allocation. first_s: the first inference. spread: (p75 - p25) / median.
    peak_rss_bytes: high-water mark of the whole process, None with a why where the OS does not tell.
    resident_bytes: what one more interpreter of the model adds to a process that has one: the model without the
        runtime. None with a why where it was not measured.
    batch: images in each run. sensors: before and after the runs. energy: where it was asked for.
    """

    runtime: Runtime
    threads: int
    inputs: List[Tensor]
    outputs: List[Tensor]
    init_s: float
    first_s: float
    warmups_s: List[float]
    samples_s: List[float]
    median_s: float
    p90_s: float
    p99_s: float
    min_s: float
    spread: float
    stable: bool
    stability: str
    peak_rss_bytes: Optional[int]
    peak_rss_why: str
    resident_bytes: Optional[int] = None
    resident_why: str = ""
    batch: int = 1
    sensors: Optional[Sensors] = None
    energy: Optional[Energy] = None


@dataclass(frozen=True)
class IdenticalResult:
    """Two files asked the same. inputs: how many were answered the same, bit for bit. signatures: keys of those that
    were run as well. different: "" or what was not the same."""

    runtime: Runtime
    inputs: int
    signatures: Tuple[str, ...]
    different: str


@dataclass(frozen=True)
class CountResult:
    """The instructions that one inference executes, the median of several: the same on every machine and at any load.

    kernels: one of KERNELS. classes: by kind (targets/emulator/count.c says which there are), or "total" alone where
        kinds are not told apart. total: their sum. runs: the totals in the order counted.
    spread: (largest - least) / median of `runs`. exact: whether that is next to nothing, as `why` says.
    cuts: totals of the shortened models, in the job's order.
    """

    runtime: Runtime
    kernels: str
    threads: int
    inputs: List[Tensor]
    outputs: List[Tensor]
    classes: Dict[str, int]
    total: int
    runs: List[int]
    spread: float
    exact: bool
    why: str
    cuts: List[int] = field(default_factory=list)


@dataclass(frozen=True)
class ScoreResult:
    """One model's answers on one pack. Shares are in [0, 1]; what has no basis is None.

    task: "classification" (integer labels), "regression" (float targets), "anomaly" (labels 0 and 1 of
        inputs that the model answers with a reconstruction) or "agreement" (no labels).
    top1, top5: against the labels; top5 is None below six classes. reference_top1: the float model's.
    confusion: {"true,predicted": images}. gained, lost: images that only this model / only the
        float model got right.
    mae, reference_mae: regression error of this model and of the float model, in target units.
    auc, reference_auc: area under the ROC curve of the reconstruction error, mean squared per sample, of
        this model and of the float model; None where all samples are normal or none is.
    agreement: share of images on which this model and the float model have the same argmax.
    max_difference: largest absolute difference of any output to the float model's.
    relative_error: root mean square difference to the float model's outputs over their standard deviation.
    """

    runtime: Runtime
    task: str
    images: int
    seconds: float
    images_per_s: float
    workers: int
    top1: Optional[float] = None
    top5: Optional[float] = None
    reference_top1: Optional[float] = None
    confusion: Optional[Dict[str, int]] = None
    gained: Optional[int] = None
    lost: Optional[int] = None
    mae: Optional[float] = None
    reference_mae: Optional[float] = None
    auc: Optional[float] = None
    reference_auc: Optional[float] = None
    agreement: Optional[float] = None
    max_difference: Optional[float] = None
    relative_error: Optional[float] = None


@dataclass(frozen=True)
class LayerStats:
    """One pair of tensors over all samples: f of the float model, q of the quantised one, dequantised.

    signal: sum of f squared; noise: sum of (f - q) squared; cosine: of f and q over all values, None when one is all 0.
    max_difference: largest |f - q|. scale: one step of q, 0.0 when q is not quantised. low, high: what f reached.
    used_low, used_high: the stored integers that q reached, None when it is not quantised; limits: those of its type.
    clipped: share of the values of f that lie more than half a step outside of what q can hold;
    clipped_samples: share of the samples with such a value.
    """

    signal: float
    noise: float
    cosine: Optional[float]
    max_difference: float
    scale: float
    low: float
    high: float
    used_low: Optional[int]
    used_high: Optional[int]
    limits: Tuple[int, ...]
    clipped: float
    clipped_samples: float


@dataclass(frozen=True)
class LayersResult:
    """stats: one for each pair of the job, in its order.

    agreement: share of samples on which both models' first output has the same argmax; None unless it is [1, classes].
    """

    runtime: Runtime
    kernels: str
    samples: int
    seconds: float
    agreement: Optional[float]
    stats: List[LayerStats]


@dataclass(frozen=True)
class ActivationsResult:
    """tensors: how many were written to the job's `outputs`."""

    runtime: Runtime
    samples: int
    seconds: float
    tensors: int


@dataclass(frozen=True)
class RangesResult:
    """What tensors of a float model reached; their least and most on each sample are in the job's `outputs`.

    clipped: for each tensor, the share of its values on the samples behind the head that lie more than half a step of
    8 bits outside of what it reached on the head; 0.0 without such samples.
    """

    runtime: Runtime
    kernels: str
    samples: int
    seconds: float
    clipped: List[float]


@dataclass(frozen=True)
class LearnResult:
    """One lesson. before, after: every held-out sample through `infer`, with the head as it came and as it is kept.

    Which epoch is kept is chosen on the same samples, so `after` flatters a little: judge on others.
    rolled_back: the accuracy fell, and the head is again what it was. best: the epoch that is kept, 0 for the start.
    resumed: epochs that an earlier, killed run had done. new_classes: learnt here for the first time.
    features_s: to compute the features of all samples once; step_s: median of a training step, None without any.
    exact: what `save` gave came back bit for bit after `restore`. head_bytes: of the weights that were written.
    """

    runtime: Runtime
    before: ScoreResult
    after: ScoreResult
    start: Epoch
    epochs: List[Epoch]
    best: int
    rolled_back: bool
    why: str
    samples: int
    batch: int
    learning_rate: float
    steps: int
    features_s: float
    step_s: Optional[float]
    exact: bool
    resumed: int = 0
    new_classes: List[int] = field(default_factory=list)
    head_bytes: Optional[int] = None
