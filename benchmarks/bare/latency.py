"""Time a model with a plain loop: latency.py MODEL RUNS. Prints the median and the process's peak memory."""

import json
import sys
from pathlib import Path
from time import perf_counter

import numpy as np

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    from tflite_runtime.interpreter import Interpreter


def main(path: str, runs: int) -> dict[str, object]:
    interpreter = Interpreter(model_path=path, num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]
    generator = np.random.default_rng(7)
    if source["dtype"] == np.float32:
        image = generator.uniform(-1, 1, source["shape"]).astype(np.float32)
    else:
        image = generator.integers(-128, 127, source["shape"], dtype=np.int8, endpoint=True)
    interpreter.set_tensor(source["index"], image)
    interpreter.invoke()
    times = []
    for _ in range(runs):
        began = perf_counter()
        interpreter.invoke()
        times.append(perf_counter() - began)
    status = Path("/proc/self/status").read_text()
    peak_kib = int(status.split("VmHWM:")[1].split()[0])
    return {
        "runtime": Interpreter.__module__.split(".")[0],
        "median_s": sorted(times)[runs // 2] if runs else None,
        "peak_bytes": 1024 * peak_kib,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
