"""MobileNet v1 (Howard et al. 2017, arXiv:1704.04861) in the shape that XNNPACK on ARM runs sparse.

XNNPACK leaves the zeros of 1x1 convolutions out ("Fast Sparse ConvNets", Elsen et al. 2019, arXiv:1911.09723) only in
a chain that it knows (google/XNNPACK, src/subgraph.c, xnn_subgraph_rewrite_for_nchw; TF-MOT's policy
PruneForLatencyOnXNNPack checks the same): first a 3x3 convolution of 3 channels with stride 2, padded by one on all
sides; then only 1x1 convolutions, depthwise ones padded likewise, sums and activations; a global mean last; and more
than two thirds of all weights of the 1x1 convolutions zero. Keras's MobileNet pads right and below only, so nothing is
gained with it. Its head is a 1x1 convolution behind the mean: with that, a sparse file does not load on ARM
(ai-edge-litert 2.3), although it does on x86. Here the head is a dense layer, with the same weights.
"""

from __future__ import annotations

from typing import Any

from tflite_edge.records.errors import RecipeError

# (filters, stride) of the depthwise separable blocks, table 1 of the paper.
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
STEM = 32


def build(shape: tuple[int, ...], classes: int, *, alpha: float) -> Any:
    """Softmax over `classes`. shape: [height, width, 3]. Raises RecipeError for other channels than 3."""
    import tf_keras

    if shape[-1] != 3:
        raise RecipeError(
            f"mobilenet_sparse takes images of 3 channels, not {shape[-1]}",
            evidence="XNNPACK's sparse inference starts at a convolution of 3 channels and nowhere else",
            do="mobilenet has the same layers and takes any; grey images are given three equal channels",
        )

    layers = tf_keras.layers

    def normalized(x: Any, name: str) -> Any:
        return layers.ReLU(6.0, name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_bn")(x))

    def padded(x: Any, stride: int, name: str) -> tuple[Any, str]:
        """(x, padding of the convolution): "same" with stride 2 would pad right and below only."""
        return (x, "same") if stride == 1 else (layers.ZeroPadding2D(1, name=f"{name}_pad")(x), "valid")

    def width(filters: int) -> int:
        return max(8, int(filters * alpha) // 8 * 8)

    inputs = tf_keras.Input(shape)
    x, padding = padded(inputs, 2, "stem")
    x = normalized(layers.Conv2D(width(STEM), 3, 2, padding, use_bias=False, name="stem")(x), "stem")
    for number, (filters, stride) in enumerate(BLOCKS, 1):
        x, padding = padded(x, stride, f"depthwise{number}")
        x = layers.DepthwiseConv2D(3, stride, padding, use_bias=False, name=f"depthwise{number}")(x)
        x = normalized(x, f"depthwise{number}")
        x = layers.Conv2D(width(filters), 1, use_bias=False, name=f"pointwise{number}")(x)
        x = normalized(x, f"pointwise{number}")
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dense(classes, activation="softmax", name="probabilities")(x)
    return tf_keras.Model(inputs, x, name="mobilenet_sparse")
