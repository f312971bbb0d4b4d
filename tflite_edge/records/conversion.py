"""What is asked of the converter, and the names that tell what came out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Tuple

from tflite_edge.records.errors import RecipeError
from tflite_edge.records.plain import nearest
from tflite_edge.records.repair import Repair

# mode -> scheme, the part of the file name that says what the bytes hold:
# w = weights, a = activations, i8 / i16 / f16 / f32 = their type.
SCHEMES = {
    "float32": "float",
    "float16": "weightonly-wf16",
    "dynamic": "dynamic-wi8af32",
    "int8": "static-wi8ai8",
    "int16x8": "static-wi8ai16",
}
# Modes whose kernels cannot be stored sparsely: the file converts, and then no runtime takes it. Measured with
# TensorFlow 2.21 on both runtimes, x86-64 and emulated arm64 (docs/log.md, "sparse storage").
NEVER_SPARSE = {
    "dynamic": "ai-edge-litert 2.3 fails to load it (failed to delegate CONV_2D); tflite-runtime 2.14 knows no "
    "dynamic-range operator of TensorFlow 2.21",
    "int16x8": "the converter gives convolutions a bias of the wrong type; ai-edge-litert 2.3 and tflite-runtime 2.14 "
    "fail to load it",
}
# Int8 dense layers (FULLY_CONNECTED) with sparse kernels, (runtime, how the layer gets its kernel) -> what happens.
# unfolded: whole again, from DENSIFY, when single weights are zero; direct: as stored, when blocks of 16 are.
SPARSE_INT8_DENSE = {
    ("ai-edge-litert", "unfolded"): "ai-edge-litert 2.3 fails to load it: failed to delegate FULLY_CONNECTED",
    ("tflite-runtime", "direct"): "tflite-runtime 2.14 loads it, and the layer answers 0 to everything",
}
STATIC = ("int8", "int16x8")  # modes that need a representative dataset
IO_TYPES = ("int8", "uint8", "float32")
# What turns float into integers: TensorFlow's converter, or LiteRT Quantizer (AI Edge Quantizer until 2026), which
# works on the float flatbuffer that the converter makes.
QUANTIZERS = ("converter", "litert")


@dataclass(frozen=True)
class Conversion:
    """One flatbuffer to be made.

    mode: a key of SCHEMES. io: the tensor type at the model's edge; only int8 has a choice.
    bake: the preprocessing's arithmetic is inside the model, so that it takes raw values 0..255.
    flex: TensorFlow operators allowed where TFLite has no builtin (no small runtime has them).
    sparse: kernels with enough zeros are stored without them, and unfolded when the file is loaded.
    original: of the model as it came, to compare with what the optimisation made of it.
    per_tensor: one scale for the weights of every kernel, not one for each channel; int8 only.
    dense_per_tensor: one scale for the weights of a dense layer, not one for each channel (see `for_runtime`).
    trainable: a frozen backbone with a head that learns on the board; an int8 backbone is a file of its own, which ends
        in the features.
    repair: of int8, what the file is made with beside the plain converter (records/repair.py).
    quantizer: one of QUANTIZERS.
    """

    mode: str
    io: str = "float32"
    bake: bool = False
    flex: bool = False
    sparse: bool = False
    original: bool = False
    per_tensor: bool = False
    dense_per_tensor: bool = False
    trainable: bool = False
    repair: Repair = field(default_factory=Repair)
    quantizer: str = "converter"

    def __post_init__(self) -> None:
        if self.mode not in SCHEMES:
            raise RecipeError(f"unknown quantisation {self.mode!r}", do="one of " + ", ".join(SCHEMES))
        allowed = {"int8": IO_TYPES, "int16x8": ("int16", "float32")}.get(self.mode, ("float32",))
        if self.io not in allowed:
            raise RecipeError(
                f"{self.mode} cannot have {self.io} inputs and outputs", do="one of " + ", ".join(allowed)
            )
        if self.sparse and self.mode in NEVER_SPARSE:
            raise RecipeError(
                f"{self.mode} kernels cannot be stored sparsely",
                evidence=NEVER_SPARSE[self.mode],
                do="sparse with " + ", ".join(mode for mode in SCHEMES if mode not in NEVER_SPARSE),
            )
        if self.per_tensor and self.mode != "int8":
            raise RecipeError(f"per_tensor is for int8, and {self.mode} has no such kernels", do="per_tensor = false")
        if not self.repair.is_plain and (self.mode != "int8" or self.trainable):
            raise RecipeError(f"{self.label} cannot be repaired", do="[repair] is for plain int8 files")
        self._check_quantizer()

    def _check_quantizer(self) -> None:
        if self.quantizer not in QUANTIZERS:
            raise RecipeError(f"unknown quantizer {self.quantizer!r}", do=nearest(self.quantizer, QUANTIZERS))
        if self.quantizer == "converter":
            return
        if self.mode == "float32":
            raise RecipeError("float32 is not quantised, so no quantizer makes it", do='quantizer = "converter"')
        repaired = not self.repair.is_plain
        others = {"sparse": self.sparse, "flex": self.flex, "trainable": self.trainable, "repair": repaired}
        refused = [name for name, asked in others.items() if asked]
        if refused:
            raise RecipeError(
                f"the {self.quantizer} quantizer does not go together with {' and '.join(refused)}",
                evidence="it works on a finished float file, in which kernels are stored whole and every operator is a "
                "builtin",
                do=f'quantizer = "converter", or {" and ".join(f"{name} = false" for name in refused)}',
            )

    @property
    def prefix(self) -> str:
        return "original-" if self.original else "trainable-" if self.trainable else ""

    @property
    def suffix(self) -> str:
        """Behind the scheme in a file's name: who quantised it, where that was not the converter."""
        return "" if self.quantizer == "converter" else f"-{self.quantizer}"

    @property
    def label(self) -> str:
        return self.prefix.replace("-", " ") + self.mode + self.suffix.replace("-", " by ")

    @property
    def scheme(self) -> str:
        return SCHEMES[self.mode]


# (runtime, mode) in which dense layers have one scale -> why.
DENSE_PER_TENSOR = {
    ("tflite-runtime", "dynamic"): "with a scale for each channel TensorFlow 2.16 and later write FULLY_CONNECTED 12, "
    "and tflite-runtime 2.14 knows 1 to 10",
    (
        "tflite-micro",
        "int8",
    ): "older TFLite Micro builds answer wrongly where dense weights have a scale for each channel",
}


def for_runtime(conversion: Conversion, runtime: str) -> Tuple[Conversion, str]:
    """(the conversion with the settings that make its file load on `runtime`, why; "" where none are needed)."""
    why = DENSE_PER_TENSOR.get((runtime, conversion.mode))
    if why is None:
        return conversion, ""
    return replace(conversion, dense_per_tensor=True), f"dense layers have one scale: {why}"
