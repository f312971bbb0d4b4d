"""The search's output folder: search.json, best.toml, and a folder for each trial that is worth keeping."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from tflite_edge.artifact import MANIFEST, disk_errors, sha256, write
from tflite_edge.records.errors import EdgeError
from tflite_edge.records.manifest import Manifest
from tflite_edge.records.plain import from_plain, to_plain
from tflite_edge.records.recipe import Recipe, with_changes
from tflite_edge.records.search import FILE, Study, Trial
from tflite_edge.records.step import with_teachers
from tflite_edge.search.toml import recipe_text
from tflite_edge.search.trial import Outcome

BEST = "best.toml"
TRIALS = "trials"


class Shelf:
    """`folder` of a search over `recipe`, whose paths are absolute."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.folder, self.recipe = folder, recipe
        with disk_errors(folder):
            (folder / TRIALS).mkdir(parents=True, exist_ok=True)
        for stale in (folder / TRIALS).glob(".*"):  # a killed run's; the lock proves that nobody uses it
            shutil.rmtree(stale, ignore_errors=True)

    def place(self, number: int) -> Path:
        """Where a trial's files lie once they are there."""
        return (self.folder / TRIALS / f"{number:03d}").absolute()

    def wait(self, number: int, outcome: Outcome) -> Path:
        """The model of an outcome on the disk, for the time that it is measured."""
        folder = self.place(number).with_name(f".{number:03d}.measured")
        with disk_errors(folder):
            folder.mkdir(exist_ok=True)
        assert outcome.variant is not None
        return write(folder / "model.tflite", outcome.files[outcome.variant.file])

    def put(self, trial: Trial, files: dict[str, bytes]) -> Trial:
        """Keep the files of a trial that has ended: its folder appears whole or not at all."""
        place = self.place(trial.number)
        shutil.rmtree(place.with_name(f".{trial.number:03d}.measured"), ignore_errors=True)
        if not files or not trial.file:
            return replace(trial, file="")
        with disk_errors(place):
            temporary = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
            try:
                for name, content in files.items():
                    with (temporary / name).open("wb") as stream:
                        stream.write(content)
                        stream.flush()
                        os.fsync(stream.fileno())
                temporary.chmod(0o755)
                shutil.rmtree(place, ignore_errors=True)
                temporary.rename(place)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
        return replace(trial, file=f"{TRIALS}/{place.name}/{trial.file}")

    def kept(self, trials: list[Trial], best: Trial | None, near: Trial | None) -> list[Trial]:
        """The trials, those without a folder from now on without a `file`: kept are front, reference, best, nearest."""
        numbers = {trial.number for trial in (best, near) if trial} | {0}
        found = []
        for trial in trials:
            keep = trial.front or trial.number in numbers
            if not keep:
                shutil.rmtree(self.place(trial.number), ignore_errors=True)
            why = trial.why
            if there := keep and bool(trial.file):
                there = self._manifest(trial) is not None
                why = "; ".join(filter(None, (why, "" if there else "its folder is damaged or gone: convert it again")))
            found.append(replace(trial, why=why, file=trial.file if there else ""))
        return found

    def _manifest(self, trial: Trial) -> Manifest | None:
        """Of a trial that lies here whole; None of another."""
        path = self.folder / trial.file
        try:
            if not trial.file or sha256(path) != trial.sha256:
                return None
            manifest = from_plain(Manifest, json.loads(path.with_name(MANIFEST).read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError, EdgeError):
            return None
        return manifest if manifest.models else None

    def write(self, study: Study) -> None:
        """search.json and best.toml as they are now, with paths relative to the folder: all may move together."""
        best = study.trial(study.best)
        if best is not None:
            text = recipe_text(self.made_by(best, study).with_paths(self._moved), _head(best, study))
            if not (self.folder / BEST).is_file() or (self.folder / BEST).read_bytes() != text.encode():
                write(self.folder / BEST, text)
        trials = [replace(trial, changes=self._with_moved_teacher(trial.changes)) for trial in study.trials]
        moved = replace(study, recipe=self.recipe.with_paths(self._moved), trials=trials)
        write(self.folder / FILE, json.dumps(to_plain(moved), indent=1) + "\n")

    def _moved(self, path: str) -> str:
        return f"./{os.path.relpath(path, self.folder.absolute())}"

    def _with_moved_teacher(self, changes: dict[str, Any]) -> dict[str, Any]:
        if "optimize" not in changes:
            return changes
        return changes | {"optimize": list(with_teachers(changes["optimize"], self._moved))}

    def made_by(self, trial: Trial, study: Study) -> Recipe:
        """The recipe that makes the trial again. Its gate is against its own float model, which may be narrower than
        the search's, and is no tighter than what the trial was found to be."""
        made = with_changes(self.recipe, trial.changes)
        manifest = self._manifest(trial)
        own = manifest.models[0].drop if manifest is not None else trial.drop
        drop = max(study.budget.max_drop or 0.0, made.gates.max_drop, own or 0.0)
        return replace(made, gates=replace(made.gates, max_drop=drop, min_agreement=0.0))


def _head(best: Trial, study: Study) -> str:
    numbers = [f"{best.bytes:,} bytes", f"{best.gzip_bytes:,} gzipped"]
    if best.drop is not None:
        numbers.append(f"{best.drop:+.2f} points below the float model")
    if best.latency_s is not None:
        numbers.append(f"{1e3 * best.latency_s:.3g} ms {best.latency_kind} on {best.latency_on}")
    return (
        f"Trial {best.number} of a search over {study.name}: {study.why}.\n{', '.join(numbers)}\n"
        f"SHA-256 of its file: {best.sha256}"
    )
