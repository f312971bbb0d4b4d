"""LiteRT Quantizer (AI Edge Quantizer until 2026): what it is asked, and the child process that it works in.

It runs the float file to see its ranges, and interpreters run in processes of their own (docs/design.md).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from tflite_edge import flatbuffer
from tflite_edge.records.conversion import STATIC, Conversion
from tflite_edge.records.errors import DataError, MissingError, ModelError, TargetError
from tflite_edge.records.python import running

PROGRAM = "tflite_edge.tf.convert.litert_program"
PACKAGE = "litert-quantizer"
INSTALL = "pip install 'tflite-edge[quantizer]', or pip install litert-quantizer"
NO_PACKAGE = 4  # exit status of the program

Rule = dict[str, Any]

# Its recipes are lists of rules, of which the last that fits an operator holds. Weights are symmetric, as the kernels
# want them, and int16 activations are.
WEIGHTS = {"num_bits": 8, "symmetric": True, "granularity": "CHANNELWISE", "dtype": "INT"}
WHOLE = {**WEIGHTS, "granularity": "TENSORWISE"}
HALVES = {"num_bits": 16, "symmetric": True, "granularity": "TENSORWISE", "dtype": "FLOAT"}
ACTIVATIONS = {
    "int8": {"num_bits": 8, "symmetric": False, "granularity": "TENSORWISE", "dtype": "INT"},
    "uint8": {"num_bits": 8, "symmetric": False, "granularity": "TENSORWISE", "dtype": "UINT"},
    "int16x8": {"num_bits": 16, "symmetric": True, "granularity": "TENSORWISE", "dtype": "INT"},
}


def require() -> str:
    """The version of LiteRT Quantizer. Raises MissingError where it is not installed."""
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError as error:
        raise MissingError("LiteRT Quantizer is not installed", do=INSTALL) from error


def quantize(
    whole: bytes, conversion: Conversion, calibration: np.ndarray | None = None, *, deadline_s: float = 600.0
) -> bytes:
    """A float flatbuffer, quantised as `conversion` says.

    calibration: float32 [N, ...], what the file takes; needed by the modes in STATIC. Raises DataError without it,
    ModelError for a file that is not float or that LiteRT Quantizer refuses, MissingError, TargetError.
    """
    facts = flatbuffer.inspect(whole)
    if facts.scheme != "float":
        raise ModelError(
            "LiteRT Quantizer starts from a float file, and this model makes none",
            evidence=f"converted as float32 it is {facts.scheme}: {facts.scheme_why}",
            do='quantizer = "converter" (--quantizer converter), which keeps ranges that were trained',
        )
    samples = None
    if conversion.mode in STATIC:
        if calibration is None or len(calibration) == 0:
            raise DataError(f"{conversion.mode} needs calibration samples, and there are none")
        samples = calibration.astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as work:
        folder = Path(work)
        (folder / "float.tflite").write_bytes(whole)
        if samples is not None:
            np.save(folder / "samples.npy", samples)
        (folder / "rules.json").write_text(json.dumps(rules(conversion)))
        _run(folder, conversion, deadline_s)
        return (folder / "quantized.tflite").read_bytes()


def rules(conversion: Conversion) -> list[Rule]:
    """The recipe of a conversion, as LiteRT Quantizer writes it in JSON."""
    if conversion.mode == "float16":
        return [_rule("*", "FLOAT", HALVES, algorithm="float_casting", explicit_dequantize=True)]
    activations = ACTIVATIONS.get(conversion.mode)  # None: dynamic
    found = [_rule("*", "INTEGER", WHOLE if conversion.per_tensor else WEIGHTS, activations)]
    if conversion.dense_per_tensor:
        found.append(_rule("FULLY_CONNECTED", "INTEGER", WHOLE, activations))
    for edge in ("INPUT", "OUTPUT") if conversion.mode in STATIC else ():
        if conversion.io == "float32":
            found.append(_rule(edge, "FLOAT", algorithm="no_quantize"))
        elif conversion.io == "uint8":
            found.append(_rule(edge, "INTEGER", WEIGHTS, ACTIVATIONS["uint8"]))
    return found


def _rule(
    operation: str,
    computes_in: str,
    weights: Rule | None = None,
    activations: Rule | None = None,
    *,
    algorithm: str = "min_max_uniform_quantize",
    explicit_dequantize: bool = False,
) -> Rule:
    how: Rule = {"compute_precision": computes_in, "explicit_dequantize": explicit_dequantize}
    how |= {"weight_tensor_config": weights} if weights else {}
    how |= {"activation_tensor_config": activations} if activations else {}
    return {"regex": ".*", "operation": operation, "algorithm_key": algorithm, "op_config": how}


def _run(folder: Path, conversion: Conversion, deadline_s: float) -> None:
    """The program on the files in `folder`, in a process group of its own that is gone afterwards."""
    what = f"LiteRT Quantizer {require()}"
    with (folder / "talk").open("wb") as talk:
        child = subprocess.Popen(
            running(PROGRAM, str(folder)),
            stdin=subprocess.DEVNULL, stdout=talk, stderr=talk, start_new_session=True,
        )  # fmt: skip
        try:
            status = child.wait(timeout=deadline_s)
        except subprocess.TimeoutExpired as error:
            raise TargetError(
                f"{what} did not finish {conversion.mode} within {deadline_s:g} s and was stopped",
                do="raise [target] deadline_s, give fewer calibration samples, or take the converter",
            ) from error
        finally:
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    if status == 0:
        return
    last = (folder / "talk").read_text(errors="replace").strip().splitlines()[-1:]
    evidence = "".join(last)[:500]
    if status == NO_PACKAGE:
        raise MissingError("LiteRT Quantizer cannot be imported", evidence=evidence, do=INSTALL)
    if status < 0:
        raise TargetError(f"{what} was killed by signal {-status}", evidence=evidence, do="--quantizer converter")
    raise ModelError(
        f"{what} cannot quantise this model to {conversion.mode}", evidence=evidence, do="--quantizer converter"
    )
