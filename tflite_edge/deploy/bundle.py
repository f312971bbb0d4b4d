"""A bundle for a board: one archive that installs offline, proves itself there, and classifies."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from tflite_edge import __version__
from tflite_edge.deploy.build import Build
from tflite_edge.deploy.documents import licences, sbom
from tflite_edge.deploy.supplies import Supply, supplies
from tflite_edge.deploy.template import filled
from tflite_edge.records.board import Board
from tflite_edge.records.card import CARD, SMOKE, Card
from tflite_edge.records.errors import UsageError
from tflite_edge.records.event import Event, Listener
from tflite_edge.records.plain import to_plain
from tflite_edge.report.model_card import model_card
from tflite_edge.targets.zipapp import BUNDLE, zipapp_bytes

SMOKE_SAMPLES = 4
UNPACKED = 6  # what is packed takes about so many times its size once it is installed beside it


class ForDelegate(NamedTuple):
    """The model for an accelerator on the board: its delegate, file and SHA-256 ("" where it is yet to be made), and
    what else goes into the bundle because of it."""

    delegate: str = ""
    file: str = ""
    sha256: str = ""
    files: Mapping[str, bytes] = {}


PLAIN = ForDelegate()


def board_bundle(
    build: Build, board: Board, runtime: str, listen: Listener, compiled: ForDelegate = PLAIN
) -> dict[str, bytes]:
    """File name -> content of the bundle for `board`. Raises UsageError where the board has no such runtime."""
    runtime = _runtime(build, board, runtime)
    found = supplies(board, runtime, listen)
    listen(Event("package", f"{build.variant.file} for {board.title}"))
    card, files = own_files(build, board, runtime, compiled)
    files |= {f"{supply.kind}s/{supply.path.name}": supply.path.read_bytes() for supply in found}
    files["requirements.txt"] = _requirements(found)
    files["LICENCES.md"] = licences(found).encode()
    files["sbom.cdx.json"] = _json(sbom(build, card, found, files))
    need_kib = UNPACKED * sum(len(content) for content in files.values()) >> 10
    files["install.sh"] = _install(card, board, found, need_kib)
    return dict(sorted(files.items()))


def own_files(build: Build, board: Board, runtime: str, compiled: ForDelegate = PLAIN) -> tuple[Card, dict[str, bytes]]:
    """(the card, everything but other makers' files and what tells of them)."""
    card, smoke = _proof(build, board, runtime)
    card = replace(card, delegate=compiled.delegate, compiled=compiled.file, compiled_sha256=compiled.sha256)
    features = build.variant.features
    return card, {
        **compiled.files,
        **({features: (build.folder / features).read_bytes()} if features else {}),
        build.variant.file: build.model.read_bytes(),
        "labels.txt": "".join(f"{label}\n" for label in card.labels).encode(),
        CARD: _json(to_plain(card)),
        SMOKE: smoke,
        "manifest.json": _json(to_plain(build.without_secrets())),
        "MODEL_CARD.md": model_card(build.without_secrets(), preprocess=card.preprocess, notes=card.notes).encode(),
        "app.pyz": zipapp_bytes(BUNDLE),
    }


def _runtime(build: Build, board: Board, asked: str) -> str:
    """The runtime asked for, else the one that proved the model, else the board's own."""
    ran = build.variant.score.runtime.name if build.variant.score else ""
    chosen = asked if asked != "auto" else ran if ran in board.runtimes else board.default_runtime
    if chosen not in board.runtimes:
        raise UsageError(
            f"{board.title} has no {chosen}",
            evidence=f"there is no wheel of it for {board.machine}",
            do="--runtime " + " or ".join(board.runtimes),
        )
    return chosen


def _proof(build: Build, board: Board, runtime: str) -> tuple[Card, bytes]:
    """(the card, smoke.npz: raw samples x and the outputs that the board must answer)."""
    samples, outputs, tolerance, why = build.expected(SMOKE_SAMPLES, runtime)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:  # np.savez writes the time of day
        for name, array in (("x", samples), ("outputs", outputs)):
            content = io.BytesIO()
            np.save(content, array)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue())
    labels = list(build.manifest.source.labels)
    spare = outputs.shape[1] - len(labels) if build.variant.learning else 0
    card = Card(
        name=build.manifest.name,
        version=__version__,
        model=build.variant.file,
        model_sha256=build.variant.sha256,
        runtime=runtime,
        board=board.name,
        machine=board.machine,
        python=(board.python,),
        task=build.manifest.source.task,
        labels=[*labels, *(f"spare {number + 1}" for number in range(spare))],
        preprocess=build.preprocess,
        tolerance=tolerance,
        trainable=build.variant.learning is not None,
        spare=spare,
        features=build.variant.features,
        features_sha256=build.variant.features_sha256,
        notes=[why],
    )
    return card, buffer.getvalue()


def _requirements(found: list[Supply]) -> bytes:
    parts = [supply.part for supply in found if supply.kind == "wheel" and supply.part.name != "pip"]
    return "".join(f"{part.name}=={part.version} --hash=sha256:{part.sha256}\n" for part in parts).encode()


def _install(card: Card, board: Board, found: list[Supply], need_kib: int) -> bytes:
    pip = next(supply.path.name for supply in found if supply.part.name == "pip")
    words = {
        "NAME": card.name,
        "TITLE": board.title,
        "MACHINE": board.machine,
        "PYTHON": board.python,
        "GLIBC": board.glibc if board.machine == "armv7l" else "2.34" if card.runtime == "tflite-runtime" else "2.28",
        "SYSTEM": board.system,
        "NEED_KIB": str(need_kib),
        "PIP": pip,
        "PLATFORMS": _platforms(board, found),
        "TRIPLET": "arm-linux-gnueabihf" if board.machine == "armv7l" else "aarch64-linux-gnu",
        "RELEASE": card.model_sha256[:12],
    }
    return filled("install.sh", words).encode()


def _platforms(board: Board, found: list[Supply]) -> str:
    """pip's options for the tags of the wheels."""
    tags = [supply.path.stem.split("-")[-1].split(".") for supply in found if supply.kind == "wheel"]
    platforms = dict.fromkeys(tag for names in tags for tag in names if tag != "any")
    tag = "cp" + board.python.replace(".", "")
    words = [f"--platform {platform}" for platform in platforms]
    return " ".join([*words, f"--implementation cp --python-version {board.python} --abi {tag}"])


def _json(document: Any) -> bytes:
    return (json.dumps(document, indent=1) + "\n").encode()
