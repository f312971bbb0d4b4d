"""The story: load -> optimise -> convert -> inspect -> run on the target -> judge -> repair -> publish."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tflite_edge.artifact import Artifact
from tflite_edge.proof import failed, prove, prove_trainable, settled, table_of
from tflite_edge.records.conversion import for_runtime
from tflite_edge.records.errors import ModelError, TargetError
from tflite_edge.records.event import Event, Listener, silent
from tflite_edge.records.manifest import Manifest
from tflite_edge.records.recipe import Recipe
from tflite_edge.repair import OTHERS_FILE, repaired
from tflite_edge.targets import open_machine
from tflite_edge.targets.machine import scored_note
from tflite_edge.workshop import Workshop


def convert(
    recipe: Recipe, out: str | Path, *, listen: Listener = silent, argv: Sequence[str] = (), compare: bool = True
) -> Manifest:
    """Make every variant of the recipe, prove each on the target's runtime, and leave them in `out`.

    compare: after optimisation steps also make the model as it came, in float and plain int8.

    A variant that cannot be made, or that crashes its runtime, is recorded as failed and the others go
    on. Raises EdgeError when nothing can be done at all. Killed and run again, finished steps are found.
    """
    from tflite_edge.tf.convert.variants import Variants
    from tflite_edge.tf.optimize.optimize import optimize, rehearse
    from tflite_edge.tf.source import open_untrained, refuse_unknown

    refuse_unknown(recipe)
    machine = open_machine(recipe.target.on)  # refused here, before anything is trained
    recipe = replace(recipe, target=settled(recipe.target, machine))
    machine.refuse(recipe.target.harness_runtime)
    table_of(recipe.target)
    most = recipe.target.samples or machine.samples
    out = Path(out)
    artifact = Artifact(out, recipe, argv)
    with artifact.timed("load"):
        source = open_untrained(recipe, listen)
        rehearsed = source.must_be_trained  # else the first step that is not done has them rehearsed
        if rehearsed:
            rehearse(source, recipe.steps)
        source = source.trained(listen)
    with artifact.timed("optimize"):
        source = optimize(source, listen, rehearsed=rehearsed)
    with Variants(source) as variants, tempfile.TemporaryDirectory(prefix="tflite-edge-") as work:
        samples = source.write_pack(Path(work) / "samples.npz", most=200)
        artifact.describe(source.recipe, source.provenance(), source.data.preprocess, samples)
        if most and most < len(source.data.test):
            artifact.remark(scored_note(most, len(source.data.test), machine))
        conversions = recipe.convert.conversions(original=compare and bool(source.steps))
        for number, asked in enumerate(conversions):
            conversion, why = for_runtime(asked, recipe.target.runtime_name)
            listen(Event("convert", conversion.label, number, len(conversions)))
            try:
                with artifact.timed(f"convert {conversion.label}"):
                    made = variants.make(conversion)
                with artifact.timed(f"prove {conversion.label}"):
                    packs = source.write_packs(Path(work), conversion, most)
                    held = prove_trainable if conversion.trainable else prove
                    record, steps = source.data.preprocess, source.steps
                    variant = held(made, conversion, packs, record, recipe, machine=machine, steps=steps)
                    workshop = Workshop(variants, conversion, recipe, packs, machine, listen)
                    made, variant = repaired(made, replace(variant, why=why), workshop)
            except (ModelError, TargetError) as error:
                if conversion.original:
                    artifact.remark(f"no {conversion.label} to compare with: {error.what}")
                else:
                    artifact.note(failed(conversion, error))
                listen(Event("convert", f"{conversion.label}: {error}", warning=True))
            else:
                if conversion.quantizer not in ("converter", variant.quantizer):
                    artifact.remark(f"{variant.file}: {OTHERS_FILE.format(conversion.quantizer)}")
                artifact.add(variant, made)
        listen(Event("convert", "done", len(conversions), len(conversions)))
    return artifact.finish()
