"""Where int8 files are made by the settings of a repair, and compared before any of them meets the test samples."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tflite_edge import __version__
from tflite_edge.artifact import cached, key_of, sha256
from tflite_edge.calibration import advise
from tflite_edge.flatbuffer.biases import correct
from tflite_edge.flatbuffer.edit import dump, load
from tflite_edge.flatbuffer.embed import embed
from tflite_edge.flatbuffer.equalize import equalize
from tflite_edge.flatbuffer.graph import graphs
from tflite_edge.flatbuffer.match import match
from tflite_edge.flatbuffer.network import KERNELS as LAYERS
from tflite_edge.flatbuffer.network import Network
from tflite_edge.flatbuffer.ranges import choose
from tflite_edge.flatbuffer.reader import read
from tflite_edge.proof import prove
from tflite_edge.records.conversion import Conversion
from tflite_edge.records.errors import DataError, ModelError
from tflite_edge.records.event import Listener
from tflite_edge.records.job import ALL_CORES, Job, LayersResult, ScoreResult
from tflite_edge.records.layers import SAME_SCALE, layer_errors, ranked
from tflite_edge.records.manifest import Variant
from tflite_edge.records.parity import ORACLES
from tflite_edge.records.plain import from_plain, nearest, to_plain
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import Recipe
from tflite_edge.records.repair import ADVICE, Repair
from tflite_edge.targets.local import Local
from tflite_edge.targets.machine import Machine

if TYPE_CHECKING:
    from tflite_edge.calibration.advice import Advice
    from tflite_edge.tf.convert.variants import Variants
    from tflite_edge.tf.data.dataset import Split
    from tflite_edge.tf.source import Packs

RUNTIME, KERNELS = "ai-edge-litert", "builtin"  # keeps all tensors right (tflite_edge/layers.py)
COMPARED = 100  # samples on which layers are compared: sums over all their values, not over samples
LEAST_SAMPLES, MOST_SAMPLES, MOST_BYTES = (
    100,
    1000,
    200 << 20,
)  # of the calibration's and the held-out ones: as float32 in memory


@dataclass(frozen=True, eq=False)
class Workshop:
    """One int8 conversion of one source. Every file and every measurement is made once and then found in the cache.

    packs: of the test samples, for the proof; beside them there is room for others.
    machine: the target; a board is stood in for by the kernels that answer as it does.
    """

    variants: Variants
    conversion: Conversion
    recipe: Recipe
    packs: Packs
    machine: Machine
    listen: Listener
    _splits: dict[str | int, Split] = field(default_factory=dict, init=False)

    def make(self, repair: Repair) -> Path:
        """The int8 file with these settings. Raises ModelError, DataError, MissingError or TargetError."""
        if repair.is_plain:
            return self.variants.make(self.conversion)
        if repair.quantizer:
            return self.variants.make(self._repaired(repair))
        if repair.qat_epochs:
            return self._trained(repair)
        self._refuse_unknown(repair)
        conversion = self._repaired(repair)
        about = self.variants.about(conversion)

        def fill(folder: Path) -> None:
            from tflite_edge.tf.convert.calibrated import quantize_calibrated

            made = quantize_calibrated(self._calibrated(repair), conversion)
            (folder / "model.tflite").write_bytes(embed(made, about))

        return (
            self._cached("flatbuffer", fill, to_plain(conversion), to_plain(about), *self._samples(repair))
            / "model.tflite"
        )

    def _refuse_unknown(self, repair: Repair) -> None:
        """TensorFlow's quantiser passes over a name that no operator has."""
        if not repair.spare:
            return
        network = Network(load(self.variants.float_twin(self.conversion)))
        names = [network.name(tensor) for op in network.ops for tensor in op.outputs]
        for name in repair.spare:
            if name not in names:
                raise ModelError(
                    f"no operator of this model makes {name!r}, which spare in [repair] names", do=nearest(name, names)
                )

    def prove(self, repair: Repair, made: Path) -> Variant:
        """As every file is proven, on the test samples. Raises as `Machine.run` does."""
        conversion = self._repaired(repair)
        source = self.variants.source
        preprocess, steps = source.data.preprocess, source.steps
        return prove(made, conversion, self.packs, preprocess, self.recipe, machine=self.machine, steps=steps)

    def _repaired(self, repair: Repair) -> Conversion:
        """Whoever makes the plain file, TensorFlow's quantiser makes the others, but for one."""
        if repair.quantizer:
            return replace(self.conversion, quantizer=repair.quantizer)
        return self.conversion if repair.is_plain else replace(self.conversion, repair=repair, quantizer="converter")

    def score(self, made: Path) -> ScoreResult:
        """Its answers on the held-out samples, against the float model's."""
        runtime, kernels = self.recipe.target.harness_runtime, "default"
        if self.machine.name != "local":
            runtime, kernels = ORACLES["A"] if runtime == "tflite-runtime" else ORACLES["B"]
        pack = self.held_out[0]
        job = Job("score", str(made), runtime, kernels=kernels, workers=ALL_CORES, pack=str(pack), preprocess=self._fed)

        def fill(folder: Path) -> None:
            result = Local().run(job, deadline_s=self.recipe.target.deadline_s)
            (folder / "score.json").write_text(json.dumps(result))

        fed = to_plain(self._fed)
        key = key_of("score", sha256(made), sha256(pack), fed, runtime, kernels, __version__, *_runtimes())
        return from_plain(ScoreResult, json.loads((cached("repair", key, fill) / "score.json").read_text()))

    def sensitive(self, repair: Repair, most: int) -> list[str]:
        """Outputs of the `most` operators that add most noise to what they are given, the worst first."""
        paths = self._float(repair), self.make(repair)
        ours, theirs = (graphs(read(path))[0] for path in paths)
        found = match(ours, theirs)
        fields = {
            "model": str(paths[0]),
            "against": str(paths[1]),
            "pairs": tuple((layer.float_index, layer.quantized_index) for layer in found.layers),
        }
        result = from_plain(LayersResult, self._ask("layers", self.held_out[1], fields))
        layers = layer_errors(
            [(layer.name, layer.operator, layer.shape, layer.how) for layer in found.layers],
            [layer.sources for layer in found.layers],
            result.stats,
            [theirs.tensors[layer.quantized_index].zero_point or 0 for layer in found.layers],
        )
        computing = [layer for layer in ranked(layers) if layer.operator not in ("input", *SAME_SCALE)]
        return [layer.name for layer in computing[:most] if layer.added > 0]

    @cached_property
    def held_out(self) -> tuple[Path, Path, str]:
        """(pack of the held-out samples with the float model's answers, pack of a few of them, where they are from).

        Without labels: of what a file answers only the distance to the float model's answers is asked.
        """
        from tflite_edge.tf.data.packs import write_pack
        from tflite_edge.tf.source import predict

        source = self.variants.source
        float_source = source.original or source
        split, origin = source.data.held_out(self._most)
        folder = self.packs.test.parent
        answers = predict(float_source.model, split.x)
        pack = write_pack(folder / "held-out.npz", split.raw, None, answers)
        few = write_pack(folder / "few.npz", split.raw[split.spread(COMPARED)], None)
        return pack, few, f"{len(split)} samples {origin}"

    @cached_property
    def advised(self) -> str:
        """The fix of the calibration set that measurably helps, "" for none. Raises what `advise` raises."""
        better = self._advice.better
        return better[0] if better and better[0] in ADVICE else ""

    @cached_property
    def _advice(self) -> Advice:
        source = replace(self.variants.source, quantized=None)
        conversion = replace(self.conversion, quantizer="converter")
        also = self.recipe.repair.advice if self.recipe.repair else ""  # was found with other samples or elsewhere
        return advise(source, conversion, self.variants, machine=self.machine, also=also, listen=self.listen)

    def _calibrated_by(self, repair: Repair) -> Variants:
        """The variants with the representative dataset of these settings, without the held-out samples."""
        import numpy as np

        if not repair.advice:
            return self.variants
        if repair.advice not in self._advice.fixes:
            raise DataError(f"the data need no calibration by {repair.advice!r}", do="leave advice out of [repair]")
        source = self._advice.fixes[repair.advice]
        own, data = source.data.calibration, self.variants.source.data
        held = data.held_out(self._most)[0].wanted if own.is_of(data.pool) else own.wanted[:0]
        kept = own.wanted[~np.isin(own.wanted, held)]
        return self.variants.of(source.calibrated_with(replace(own, wanted=kept)))

    @cached_property
    def more_samples(self) -> int:
        """How many samples there are to calibrate with, those of the training split counted."""
        return len(self.variants.source.data.more_calibration(self._most).wanted)

    @property
    def _most(self) -> int:
        """MOST_SAMPLES, or of large images as many as are in MOST_BYTES."""
        bytes_each = 4 * int(self.variants.source.data.calibration.raw[0].size)
        return max(LEAST_SAMPLES, min(MOST_SAMPLES, MOST_BYTES // bytes_each))

    @cached_property
    def _fed(self) -> Preprocess:
        preprocess = self.variants.source.data.preprocess
        return Preprocess(channels=preprocess.channels) if self.conversion.bake else preprocess

    def _trained(self, repair: Repair) -> Path:
        from tflite_edge.tf.convert.variants import Variants
        from tflite_edge.tf.optimize.optimize import optimize

        source = self.variants.source
        step = {"step": "qat", "epochs": repair.qat_epochs}
        trained = optimize(replace(source, recipe=replace(source.recipe, optimize=(step,))), self.listen)
        with Variants(trained) as variants:
            return variants.make(replace(self.conversion, quantizer="converter"))

    def _calibrated(self, repair: Repair) -> bytes:
        """The float flatbuffer with corrected biases, and the range of each tensor written into it."""
        path = self._float(repair)
        held = self._activations(path, repair)
        tree = load(path)
        network = Network(tree)
        if repair.correct:
            means = {tensor: one["mean"] for tensor, one in held.items()}
            dense = ("FULLY_CONNECTED",) if self.conversion.dense_per_tensor else ()
            correct(network, means, tuple(LAYERS) if self.conversion.per_tensor else dense, repair.spare)
        whole = _edges(network)
        network.calibrate(
            {
                tensor: choose(
                    "minmax" if tensor in whole else repair.ranges or "minmax",
                    float(one["ends"][0]),
                    float(one["ends"][1]),
                    one["counts"],
                )
                for tensor, one in held.items()
            }
        )
        return dump(tree)

    def _float(self, repair: Repair) -> Path:
        """The float flatbuffer, its channels evened out where the settings say so."""
        twin = self.variants.float_twin(self.conversion)
        if not repair.equalize:
            return twin

        def fill(folder: Path) -> None:
            import numpy as np

            held = self._activations(twin, repair)
            tree = load(twin)
            reached = {tensor: np.maximum(np.abs(one["low"]), np.abs(one["high"])) for tensor, one in held.items()}
            equalize(Network(tree), repair.equalize, reached)
            (folder / "model.tflite").write_bytes(dump(tree))

        return self._cached("flatbuffer", fill, "float", repair.equalize, *self._samples(repair)) / "model.tflite"

    def _activations(self, path: Path, repair: Repair) -> dict[int, dict[str, Any]]:
        """What each computed tensor of a float flatbuffer holds on the calibration samples: see harness/activations."""
        import numpy as np

        tensors = Network(load(path)).computed()

        def fill(folder: Path) -> None:
            from tflite_edge.tf.data.packs import write_pack

            x = self.variants.calibration(self.conversion, self._split(repair))
            with tempfile.TemporaryDirectory(prefix="tflite-edge-") as work:
                pack = write_pack(Path(work) / "calibration.npz", x, None)
                fields = {"model": str(path), "tensors": tensors, "outputs": str(folder / "held.npz")}
                self._ask("activations", pack, fields, Preprocess(channels=self._fed.channels))

        folder = self._cached("repair", fill, "activations", sha256(path), *self._samples(repair))
        held: dict[int, dict[str, Any]] = {tensor: {} for tensor in tensors}
        with np.load(folder / "held.npz") as arrays:
            for name in arrays.files:
                tensor, _, key = name.partition(".")
                held[int(tensor)][key] = arrays[name]
        return held

    def _ask(
        self, verb: str, pack: Path, fields: dict[str, Any], preprocess: Preprocess | None = None
    ) -> dict[str, Any]:
        model = fields.pop("model")
        job = Job(verb, model, RUNTIME, kernels=KERNELS, pack=str(pack), preprocess=preprocess or self._fed, **fields)
        return Local().run(job, deadline_s=self.recipe.target.deadline_s)

    def _samples(self, repair: Repair) -> tuple[Any, ...]:
        """What tells the calibration samples apart, in a key."""
        split = self._split(repair)
        baked = to_plain(self.variants.source.data.preprocess) if self.conversion.bake else None
        return (split.sha256, to_plain(split.preprocess), baked)

    def _split(self, repair: Repair) -> Split:
        """The samples that activations are measured on, read once."""
        drawn = repair.advice or repair.samples
        if drawn not in self._splits:
            data = self._calibrated_by(repair).source.data
            self._splits[drawn] = data.more_calibration(repair.samples) if repair.samples else data.calibration
        return self._splits[drawn]

    def _cached(self, step: str, fill: Any, *parts: Any) -> Path:
        from tflite_edge.tf.convert.variants import makers

        twin = sha256(self.variants.float_twin(self.conversion))
        return cached(step, key_of("repair", twin, *parts, *_runtimes(), *makers()), fill)


def _edges(network: Network) -> set[int]:
    """Tensors whose whole range is kept: the model's inputs and outputs, and what a final softmax reads. The answer is
    the greatest of these values, and raw inputs must fit exactly."""
    ends = {*network.inputs, *network.outputs}
    for op in network.ops:
        if op.name in ("SOFTMAX", "LOGISTIC") and ends & set(op.outputs):
            ends |= set(op.inputs)
    return ends


def _runtimes() -> Iterable[str]:
    from tflite_edge.artifact import versions

    found = versions()
    return [found.get(name, "") for name in ("ai-edge-litert", "tflite-runtime")]
