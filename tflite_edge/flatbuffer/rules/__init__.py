"""Rules on models: what each runtime, accelerator and library takes, and what to do where it does not.

model = look("model.tflite")
contract(model, find("tflite-runtime==2.14")[0])      findings: what does not load, or misleads
place("coral-usb", model)                             operator by operator: mapped, or why not
"""

from __future__ import annotations

from tflite_edge.flatbuffer.rules.coral import CORAL
from tflite_edge.flatbuffer.rules.engine import Model, Placement, Row, RuleSet, apply, look, sentence
from tflite_edge.flatbuffer.rules.ethos import ETHOS_U55, ETHOS_U85
from tflite_edge.flatbuffer.rules.micro import MICRO
from tflite_edge.flatbuffer.rules.xnnpack import XNNPACK
from tflite_edge.records.board import BOARDS
from tflite_edge.records.errors import UsageError
from tflite_edge.records.plain import nearest

__all__ = ["TARGETS", "Model", "Placement", "Row", "RuleSet", "look", "named", "place", "sentence"]

# By the name that --target takes, which takes boards (records/board.py) as well: rules/boards.py.
TARGETS = {
    "coral-usb": CORAL,
    "xnnpack": XNNPACK,
    "mcu": MICRO,
    "ethos-u55-32": ETHOS_U55,
    "ethos-u55-64": ETHOS_U55,
    "ethos-u55-128": ETHOS_U55,
    "ethos-u55-256": ETHOS_U55,
    "ethos-u65-256": ETHOS_U55,
    "ethos-u65-512": ETHOS_U55,
    "ethos-u85-128": ETHOS_U85,
    "ethos-u85-256": ETHOS_U85,
    "ethos-u85-512": ETHOS_U85,
    "ethos-u85-1024": ETHOS_U85,
    "ethos-u85-2048": ETHOS_U85,
}


def named(target: str) -> RuleSet:
    """The rules of a target. Raises UsageError for one that is not in TARGETS, with the nearest."""
    if target not in TARGETS:
        raise UsageError(f"unknown target {target!r}", do=nearest(target, [*TARGETS, *BOARDS]))
    return TARGETS[target]


def place(target: str, model: Model) -> Placement:
    """Where each operator of the model runs. Raises UsageError as `named` does."""
    return apply(target, named(target), model)
