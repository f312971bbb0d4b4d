"""Write a recipe's trained model and its data for others to convert: trained.py OUT RECIPE."""

import json
import sys
from pathlib import Path

import numpy as np

from tflite_edge.records.event import silent
from tflite_edge.records.plain import to_plain
from tflite_edge.records.recipe import read_recipe
from tflite_edge.tf.quiet import quiet
from tflite_edge.tf.source import open_model


def main(out: Path, recipe: str) -> None:
    source = open_model(read_recipe(recipe), silent)
    with quiet():
        source.model.save(out / "model.h5")
    np.savez(out / "train.npz", x=source.data.train.raw, y=source.data.train.y)
    np.save(out / "calibration.npy", source.data.calibration.x)
    source.write_pack(out / "test.npz")
    (out / "preprocess.json").write_text(json.dumps(to_plain(source.data.preprocess)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
