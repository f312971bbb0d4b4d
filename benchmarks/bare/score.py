"""Answer images one at a time: score.py MODEL PACK.npz PREDICTIONS.npy. Prints how long the loop took."""

import json
import sys
from time import perf_counter

import numpy as np

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    from tflite_runtime.interpreter import Interpreter


def main(path: str, images: np.ndarray, predictions: str) -> dict[str, object]:
    interpreter = Interpreter(model_path=path, num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]
    sink = interpreter.get_output_details()[0]
    scale, zero_point = source["quantization"]
    predicted = []
    began = perf_counter()
    for image in images:
        values = (image.astype(np.float32) - 127.5) / 127.5
        if source["dtype"] == np.int8:
            values = np.clip(np.round(values / scale) + zero_point, -128, 127).astype(np.int8)
        interpreter.set_tensor(source["index"], values[np.newaxis])
        interpreter.invoke()
        predicted.append(int(np.argmax(interpreter.get_tensor(sink["index"])[0])))
    seconds = perf_counter() - began
    np.save(predictions, predicted)
    return {"runtime": Interpreter.__module__.split(".")[0], "images": len(images), "seconds": seconds}


if __name__ == "__main__":
    with np.load(sys.argv[2]) as pack:
        print(json.dumps(main(sys.argv[1], pack["x"], sys.argv[3])))
