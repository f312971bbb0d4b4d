"""Keras 3 models rebuilt in tf_keras (Keras 2), which TF-MOT needs, with their weights and a proof."""

from tflite_edge.tf.models.keras3.bridge import Bridged, bridge

__all__ = ["Bridged", "bridge"]
