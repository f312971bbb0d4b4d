"""`python -m tflite_edge.tf.convert.litert_program FOLDER`: LiteRT Quantizer, in a process of its own.

FOLDER holds float.tflite, rules.json and, where ranges are to be found, samples.npy, float32 [N, ...]; it gets
quantized.tflite. Exit status: 0; 4 where the package is missing; 1 for all else, with the reason as the last line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

NO_PACKAGE = 4


def main(folder: Path) -> int:
    try:
        from litert_quantizer.quantizer import Quantizer
    except ImportError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the parent reads it
        return NO_PACKAGE
    quantizer = Quantizer((folder / "float.tflite").read_bytes(), json.loads((folder / "rules.json").read_text()))
    ranges = _ranges(quantizer, folder) if quantizer.need_calibration else None
    made = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    (folder / "quantized.tflite").write_bytes(made.quantized_model)
    return 0


def _ranges(quantizer: Any, folder: Path) -> dict[str, Any]:
    """What it finds by running every sample. Of inner tensors that is a moving average of each sample's least and
    most; of the input it shall be all that was seen, so that raw bytes of 0..255 keep the scale 1."""
    from ai_edge_litert.interpreter import Interpreter

    samples = np.load(folder / "samples.npy", mmap_mode="r")
    interpreter = Interpreter(str(folder / "float.tflite"))
    ((signature, edges),) = interpreter.get_signature_list().items()
    (name,) = edges["inputs"]
    found = quantizer.calibrate({signature: [{name: sample[np.newaxis]} for sample in samples]}, num_threads=1)
    tensor = found[interpreter.get_input_details()[0]["name"]]
    tensor["min"], tensor["max"] = (
        np.full_like(tensor[end], limit) for end, limit in (("min", samples.min()), ("max", samples.max()))
    )
    return found


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
