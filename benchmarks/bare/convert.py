"""Five variants of a Keras model as TensorFlow's guide makes them: convert.py MODEL.h5 CALIBRATION.npy OUT."""

import json
import os
import sys
from pathlib import Path
from time import perf_counter

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tf_keras

MODES = ("float32", "float16", "dynamic", "int8", "int16x8")


def convert(model: tf_keras.Model, mode: str, samples: np.ndarray) -> bytes:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if mode != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if mode in ("int8", "int16x8"):
        converter.representative_dataset = lambda: ([sample[np.newaxis]] for sample in samples)
    if mode == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    if mode == "int16x8":
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
    return converter.convert()


def main(path: str, samples: np.ndarray, out: Path) -> dict[str, float]:
    """Seconds of each variant."""
    model = tf_keras.models.load_model(path, compile=False)
    convert(tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(4,))]), "float32", samples)  # warm-up
    took = {}
    for mode in MODES:
        began = perf_counter()
        (out / f"{mode}.tflite").write_bytes(convert(model, mode, samples))
        took[mode] = perf_counter() - began
    return took


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], np.load(sys.argv[2]), Path(sys.argv[3]))))
