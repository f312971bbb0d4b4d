"""The one place that touches TFLiteConverter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tflite_edge.records.conversion import STATIC, Conversion
from tflite_edge.records.errors import DataError, ModelError
from tflite_edge.tf.quiet import quiet


def convert(
    frozen: Path, conversion: Conversion, calibration: np.ndarray | None = None, signatures: Sequence[str] = ()
) -> bytes:
    """The flatbuffer of a frozen SavedModel, or of one with the named signatures and variables that they share.

    calibration: float32 [N, ...], what the frozen model takes; needed by the modes in STATIC.
    Raises DataError when the representative dataset is empty (the converter would silently make a
    float model), ModelError when the converter refuses.
    """
    used = 0

    def representative() -> Iterator[list[np.ndarray]]:
        nonlocal used
        for sample in calibration if calibration is not None else ():
            used += 1
            yield [sample[None].astype(np.float32)]

    with quiet() as talk:
        import tensorflow as tf

        converter = tf.lite.TFLiteConverter.from_saved_model(str(frozen), signature_keys=list(signatures) or None)
        _configure(tf, converter, conversion)
        if signatures:
            converter.experimental_enable_resource_variables = True
            # Else dense layers get a version of FULLY_CONNECTED that tflite-runtime 2.14 does not know.
            converter._experimental_disable_per_channel_quantization_for_dense_layers = True  # noqa: SLF001
        if conversion.mode in STATIC:
            if calibration is None or len(calibration) == 0:
                raise DataError(f"{conversion.mode} needs calibration samples, and there are none")
            converter.representative_dataset = representative
        try:
            flatbuffer = converter.convert()
        except Exception as error:
            evidence, do = _explain(str(error) or talk.tail())
            raise ModelError(
                f"TensorFlow {tf.__version__} cannot convert this model to {conversion.mode}", evidence=evidence, do=do
            ) from error
    if conversion.mode in STATIC and used == 0:
        raise DataError("the converter used none of the calibration samples")
    return bytes(flatbuffer)


def _configure(tf: Any, converter: Any, conversion: Conversion) -> None:
    ops = tf.lite.OpsSet
    supported = {
        "int8": [ops.TFLITE_BUILTINS_INT8],
        "int16x8": [ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8],
    }.get(conversion.mode, [ops.TFLITE_BUILTINS])
    if conversion.flex:
        supported.append(ops.SELECT_TF_OPS)
    converter.target_spec.supported_ops = supported
    if conversion.mode != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if conversion.sparse:
        converter.optimizations = [*converter.optimizations, tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    if conversion.per_tensor:
        converter._experimental_disable_per_channel = True  # noqa: SLF001 - there is no public name
    if conversion.dense_per_tensor:
        # Private, and the only way: without it TF 2.16 and later quantise dense weights per channel.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True  # noqa: SLF001
    if conversion.mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if conversion.mode in STATIC:
        converter.inference_input_type = converter.inference_output_type = tf.dtypes.as_dtype(conversion.io)


def _explain(text: str) -> tuple[str, str]:
    """(evidence, do) from the converter's message, which buries the operators in pages of MLIR."""
    missing = re.findall(r"(?:TF Select|Flex|Custom) ops: (.+)", text)
    if missing:
        do = "rewrite these layers, or add --flex (tflite-runtime and ai-edge-litert then refuse the model)"
        return "no TFLite builtin for: " + ", ".join(dict.fromkeys(missing)), do
    lines = [line.strip()[:160] for line in text.splitlines() if line.strip() and "<unknown>" not in line]
    return "\n".join(lines[:6]), "try another --quantize mode; float32 has the widest operator support"
