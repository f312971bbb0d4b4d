"""Static int8 as LiteRT Quantizer's README makes it.

litert.py FLOAT.tflite CALIBRATION.npy OUT.tflite GRANULARITY: by its recipe static_wi8_ai8, with weights CHANNELWISE,
as it comes, or TENSORWISE.
"""

import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from litert_quantizer import quantizer, recipe


def main(model: str, calibration: str, out: str, granularity: str) -> None:
    rules = recipe.static_wi8_ai8()
    for rule in rules:
        rule["op_config"]["weight_tensor_config"]["granularity"] = granularity
    asked = quantizer.Quantizer(model, rules)
    ((signature, edges),) = Interpreter(model).get_signature_list().items()
    samples = [{edges["inputs"][0]: sample[np.newaxis]} for sample in np.load(calibration)]
    ranges = asked.calibrate({signature: samples})
    Path(out).write_bytes(asked.quantize(ranges).quantized_model)


if __name__ == "__main__":
    main(*sys.argv[1:])
