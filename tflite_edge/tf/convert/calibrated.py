"""TensorFlow's quantiser on a float flatbuffer whose tensors say what they reached: int8 without the converter.

It is what `TFLiteConverter` runs after its own calibration, and what its QuantizationDebugger runs to leave operators
in float. Called directly it takes ranges that were chosen elsewhere, and operators to spare.
"""

from __future__ import annotations

from tflite_edge.records.conversion import Conversion
from tflite_edge.records.errors import ModelError
from tflite_edge.tf.quiet import quiet


def quantize_calibrated(calibrated: bytes, conversion: Conversion) -> bytes:
    """The int8 flatbuffer. calibrated: a float one with min and max for each tensor that is computed.

    conversion.repair.spare: names of tensors whose operators stay in float. Raises ModelError when TensorFlow refuses.
    """
    with quiet() as talk:
        import tensorflow as tf
        from tensorflow.lite.python.convert import mlir_quantize, mlir_sparsify

        edge = tf.dtypes.as_dtype(conversion.io)
        try:
            made = mlir_quantize(
                calibrated,
                disable_per_channel=conversion.per_tensor,
                input_data_type=edge,
                output_data_type=edge,
                denylisted_nodes=list(conversion.repair.spare) or None,
                disable_per_channel_for_dense_layers=conversion.dense_per_tensor,
            )
            return bytes(mlir_sparsify(made) if conversion.sparse else made)
        except Exception as error:
            raise ModelError(
                f"TensorFlow {tf.__version__} cannot quantise this model as repaired",
                evidence=(str(error) or talk.tail())[:500],
                do="repair = false in [convert]",
            ) from error
