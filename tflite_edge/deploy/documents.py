"""What a bundle says of what is inside: licences, and a bill of materials in CycloneDX."""

from __future__ import annotations

import email.parser
import hashlib
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from tflite_edge import __version__
from tflite_edge.deploy.build import Build
from tflite_edge.deploy.supplies import Supply
from tflite_edge.records.card import Card


def licences(found: Sequence[Supply]) -> str:
    """Who made what is inside, and under which licence; the licences' texts are in the files themselves."""
    rows = [f"| {supply.part.name} | {supply.part.version} | {_licence(supply)} |" for supply in found]
    return (
        "# Licences\n\nThe program (`app.pyz`) is tflite-edge's, Apache-2.0. The model is its maker's.\n"
        "What else is inside keeps its own licence: a wheel's text is in its `dist-info`, a package's under\n"
        "`usr/share/doc/NAME/copyright`.\n\n| file | version | licence |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def _licence(supply: Supply) -> str:
    if supply.kind == "deb":
        return "see its copyright file"
    with zipfile.ZipFile(supply.path) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        fields = email.parser.HeaderParser().parsestr(wheel.read(name).decode(errors="replace"))
    classified = [c.rpartition(":: ")[2] for c in fields.get_all("Classifier", []) if c.startswith("License ::")]
    said = fields.get("License-Expression") or ", ".join(classified) or fields.get("License") or "not said"
    return str(said).splitlines()[0][:80]


def sbom(build: Build, card: Card, found: Sequence[Supply], files: Mapping[str, bytes]) -> dict[str, Any]:
    """CycloneDX 1.5 (cyclonedx.org/docs/1.5/json). The same content gives the same document: no time, no chance."""
    model = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": card.name,
        "version": card.model_sha256[:12],
        "hashes": [{"alg": "SHA-256", "content": card.model_sha256}],
        "properties": [
            {"name": "tflite-edge:scheme", "value": build.variant.scheme},
            {"name": "tflite-edge:data", "value": build.without_secrets().source.data},
        ],
    }
    program = {
        "type": "application",
        "bom-ref": "app.pyz",
        "name": "tflite-edge",
        "version": __version__,
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(files["app.pyz"]).hexdigest()}],
        "licenses": [{"license": {"id": "Apache-2.0"}}],
        "purl": f"pkg:pypi/tflite-edge@{__version__}",
    }
    parts = [
        {
            "type": "library",
            "bom-ref": supply.path.name,
            "name": supply.part.name,
            "version": supply.part.version,
            "hashes": [{"alg": "SHA-256", "content": supply.part.sha256}],
            "purl": _purl(supply),
        }
        for supply in found
    ]
    if card.features:
        parts.insert(0, {**model, "bom-ref": "features", "version": card.features_sha256[:12]})
        parts[0]["hashes"] = [{"alg": "SHA-256", "content": card.features_sha256}]
    digest = hashlib.sha256(repr(sorted((name, hashlib.sha256(c).hexdigest()) for name, c in files.items())).encode())
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.UUID(bytes=digest.digest()[:16], version=4)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "firmware",
                "bom-ref": "bundle",
                "name": f"{card.name} for {card.board}",
                "version": card.version,
            },
            "tools": {"components": [{"type": "application", "name": "tflite-edge", "version": __version__}]},
        },
        "components": [model, program, *parts],
        "dependencies": [{"ref": "bundle", "dependsOn": ["model", "app.pyz", *(part["bom-ref"] for part in parts)]}],
    }


def _purl(supply: Supply) -> str:
    if supply.kind == "deb":
        arch = supply.path.stem.rpartition("_")[2]
        return f"pkg:deb/debian/{supply.part.name}@{supply.part.version}?arch={arch}"
    return f"pkg:pypi/{supply.part.name}@{supply.part.version}"
