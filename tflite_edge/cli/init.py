"""`tflite-edge init`: a commented recipe to start from."""

from __future__ import annotations

import os
from pathlib import Path

import click

from tflite_edge.cli.sink import Sink, format_option
from tflite_edge.records.errors import UsageError
from tflite_edge.records.verdict import OK

TEMPLATE = """\
# A recipe of tflite-edge: `tflite-edge convert {file}`. Every line below [model] is a default.

[model]
{source}
# input = [64, 64, 1]       # height, width, channels; left out: the zoo's size, the data's channels
# alpha = 0.25              # width multiplier of a zoo model
weights = "train"           # zoo models: train (on the data below), imagenet, random
allow_code = false          # load a file that runs its maker's code (Lambda layers)

[data]
source = {data}           # digits, mnist, fashion_mnist, cifar10, cifar100, an image folder, an .npz
task = "auto"               # anomaly: labels 0 (normal) and 1, for a model that rebuilds its input
normalize = "auto"          # none (0..255), 0..1, -1..1, imagenet-torch, imagenet-caffe
fit = "stretch"             # stretch, or crop: scale the shorter side, cut the centre
test = 0.2                  # shares set aside where the source has no test split of its own
calibration = 0.1
calibration_samples = 200   # size of the representative dataset
representative = ""         # a representative dataset of its own: as source is written; "": drawn from source
seed = 7

[train]                     # how a zoo model is trained on first use
epochs = 20
batch = 32
learning_rate = 0.02
optimizer = "adam"          # or sgd, with Nesterov momentum
schedule = "cosine"         # or constant, after a warm-up over a tenth of the steps
augment = 0.5               # strength of turning, zooming and shifting; 0 switches it off
mirror = false              # true: also left to right, for photos; not for digits or letters
patience = 0                # stop after so many epochs without a better loss on a held-out tenth; 0 is off
seed = 7

# What makes it smaller, step after step, in this order; `--optimize channels=0.5,prune=0.5,cluster=16,qat` says it
# in short. Take what you want out of the comment; a step's own epochs and learning_rate go before [tune]'s.
#
#   [[optimize]]
#   step = "distill"          # learn from a teacher, in this step and all that follow
#   teacher = "teacher.h5"    # a model file or a zoo name; temperature, alpha, features
#
#   [[optimize]]
#   step = "channels"         # remove filters for real; or macs, parameters, bytes instead of fraction
#   fraction = 0.5            # importance: l1, l2, batch-norm; rounds
#
#   [[optimize]]
#   step = "prune"            # zeros; pattern: unstructured, "2:4", "1x4"; schedule: polynomial, constant
#   sparsity = 0.5            # layers = ["conv_*", "Dense"]; ends = true takes the first and last layer too
#
#   [[optimize]]
#   step = "cluster"          # shared values; centroids: kmeans++, linear, density, random; per_channel
#   clusters = 16
#
#   [[optimize]]
#   step = "qat"              # train with 8-bit weights and activations; what came before is kept

[tune]                      # how each of these steps is trained: as [train]
epochs = 8
batch = 32
learning_rate = 0.002
optimizer = "adam"
schedule = "cosine"
# augment = 0.5             # left out: 0.5, or less where the model (or its teacher) does not know altered images
mirror = false
patience = 0
seed = 7

[convert]
quantize = ["float32", "float16", "int8"]   # also: dynamic, int16x8
io = "int8"                 # input and output of the int8 model: int8, uint8, float32
bake = false                # true: the normalisation is inside the model, the board feeds raw bytes
flex = false                # true: TensorFlow operators allowed (no small runtime has them)
sparse = false              # true: pruned kernels are stored without their zeros (not dynamic, not int16x8)
quantizer = "converter"     # or litert: LiteRT Quantizer (extra "quantizer"), which works on the float file
trainable = false           # true: float32, dynamic and int8 also with a head that learns on the board
per_tensor = false          # true: one scale for each int8 kernel, for accelerators that know no others
repair = false              # true: an int8 file that loses more than max_drop is repaired; --max-drop implies it

# How the int8 file is made, as a ladder of repairs wrote it into manifest.json: with it there is no ladder.
#
#   [repair]
#   advice = ""               # or the calibration doctor's fix: redraw, more, outliers, clean
#   samples = 1000            # of the training split, that activations are measured on; 0: calibration_samples
#   equalize = "weights"      # or activations: what is evened out between two layers
#   correct = true            # biases take up what rounding the weights adds
#   ranges = "mse"            # of activations; minmax, 99.99, 99.9
#   spare = ["conv_1/Relu"]   # outputs of operators that stay in float
#   quantizer = ""            # or litert, in place of all of the above
#   qat_epochs = 0            # of training with quantisation, in place of all of the above

[head]                      # of the trainable files: it begins as the model's own last layer
hidden = 0                  # units of a second layer beside it
spare_classes = 0           # outputs for classes that are learnt on the board
optimizer = "adam"          # or sgd, with momentum 0.9
learning_rate = 0.002
batch = 16

[target]
on = "local"                # emulator:pi4, ssh://USER@HOST[:PORT]: where the harness runs
runtime = "auto"            # ai-edge-litert, tflite-runtime, tflite-micro, or "tflite-runtime==2.14"
threads = 1
deadline_s = 600.0
samples = 0                 # most test samples that are scored; 0: all, or 200 on an emulated board

[gates]                     # what the exported files must reach on the target's runtime
max_drop = 1.0              # points of accuracy below the float Keras model
min_agreement = 0.9         # share of samples on which a quantised file answers as Keras does
max_difference = 1e-4       # of a float32 file's outputs to Keras's
max_relative_error = 0.2    # of a quantised file's outputs, where there are neither labels nor classes
"""
OWN_DATA = "my_images/"


@click.command()
@click.argument("source", default="mobilenet")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("recipe.toml"), show_default=True)
@format_option
def command(source: str, out: Path, sink: Sink) -> None:
    """Write a commented recipe for SOURCE, a zoo name or a model file.

    \b
    tflite-edge init mobilenet_v2 -o my_recipe.toml
    tflite-edge init my_model.h5
    """
    import json

    from tflite_edge.artifact import write
    from tflite_edge.records.recipe import recipe_for
    from tflite_edge.tf.source import refuse_unknown

    if out.exists():
        raise UsageError(f"{out} exists already", do="choose another name with -o")
    recipe = recipe_for(source, {"data.source": OWN_DATA})
    refuse_unknown(recipe)
    model = recipe.model
    chosen = (
        f"name = {json.dumps(model.name)}"
        if model.name
        else f"file = {json.dumps(os.path.relpath(model.file, out.parent))}"
    )
    data = '"digits"' if model.name else f'"{OWN_DATA}"'
    write(out, TEMPLATE.format(file=out, source=chosen, data=data))
    first = "" if model.name else f"name your data in it ({OWN_DATA}), then "
    sink.result("init", OK, {"recipe": str(out)}, f"wrote {out}; next: {first}tflite-edge convert {out}")
