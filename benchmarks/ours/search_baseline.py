"""What a search begins with: `python -m benchmarks.ours.search_baseline FOLDER DATA.npz TRAIN TEST`.

Writes data.npz, the first so many samples, and model.h5, a small convolutional net trained on them for a few epochs.
"""

import sys
from pathlib import Path

import numpy as np

import tflite_edge.tf  # noqa: F401 - sets the environment before TensorFlow is imported
from tflite_edge.tf.quiet import quiet


def main(folder, data, train, test):
    with np.load(data) as found:
        some = {
            f"{kind}_{part}": found[f"{kind}_{part}"][: int(most)]
            for part, most in (("train", train), ("test", test))
            for kind in "xy"
        }
    np.savez(folder / "data.npz", **some)
    with quiet():
        import tf_keras

        tf_keras.utils.set_random_seed(7)
        layers, shape = tf_keras.layers, some["x_train"].shape[1:]
        image = tf_keras.Input((*shape, 1)[:3], name="image")
        x = image
        for filters, strides in ((16, 2), (32, 2), (64, 2)):
            x = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization(momentum=0.9)(x)
            x = layers.ReLU()(x)
        x = layers.GlobalAveragePooling2D()(x)
        x = layers.Dense(64, activation="relu")(x)
        model = tf_keras.Model(image, layers.Dense(10, activation="softmax")(x), name="small")
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        scaled = some["x_train"].reshape(-1, *image.shape[1:]) / 127.5 - 1.0
        model.fit(scaled, some["y_train"], batch_size=64, epochs=8, verbose=0)
        model.save(folder / "model.h5")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
