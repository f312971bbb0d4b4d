"""Five variants of a Keras model through the project, past its cache: convert.py MODEL.h5 CALIBRATION.npy OUT."""

import json
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from tflite_edge.records.conversion import SCHEMES, Conversion
from tflite_edge.tf.convert.convert import convert
from tflite_edge.tf.convert.freeze import freeze
from tflite_edge.tf.models.load import load
from tflite_edge.tf.quiet import quiet


def main(path: Path, samples: np.ndarray, out: Path) -> dict[str, float]:
    """Seconds of each step."""
    model = load(path)
    took = {}
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as work:
        warm_up(Path(work) / "warm")
        began = perf_counter()
        frozen = freeze(model, Path(work) / "frozen")
        took["freeze"] = perf_counter() - began
        for mode in SCHEMES:
            began = perf_counter()
            conversion = Conversion(mode, io="int8" if mode == "int8" else "float32")
            (out / f"{mode}.tflite").write_bytes(convert(frozen, conversion, samples))
            took[mode] = perf_counter() - began
    return took


def warm_up(folder: Path) -> None:
    """A one-layer model first, as the plain script does: TensorFlow loads parts of itself on first use."""
    with quiet():
        import tf_keras

        tiny = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(4,))])
    convert(freeze(tiny, folder), Conversion("float32"))


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), np.load(sys.argv[2]), Path(sys.argv[3]))))
