"""What is asked of the converter, and the names that tell what came out."""

from __future__ import annotations

from dataclasses import dataclass

from tflite_edge.records.errors import RecipeError

# mode -> scheme, the part of the file name that says what the bytes hold:
# w = weights, a = activations, i8 / i16 / f16 / f32 = their type.
SCHEMES = {
    "float32": "float",
    "float16": "weightonly-wf16",
    "dynamic": "dynamic-wi8af32",
    "int8": "static-wi8ai8",
    "int16x8": "static-wi8ai16",
}
STATIC = ("int8", "int16x8")  # modes that need a representative dataset
IO_TYPES = ("int8", "uint8", "float32")


@dataclass(frozen=True)
class Conversion:
    """One flatbuffer to be made.

    mode: a key of SCHEMES. io: the tensor type at the model's edge; only int8 has a choice.
    bake: the preprocessing's arithmetic is inside the model, so that it takes raw values 0..255.
    flex: TensorFlow operators allowed where TFLite has no builtin (no small runtime has them).
    original: of the model as it came, to compare with what the optimisation made of it.
    """

    mode: str
    io: str = "float32"
    bake: bool = False
    flex: bool = False
    original: bool = False

    def __post_init__(self) -> None:
        if self.mode not in SCHEMES:
            raise RecipeError(f"unknown quantisation {self.mode!r}", do="one of " + ", ".join(SCHEMES))
        allowed = {"int8": IO_TYPES, "int16x8": ("int16", "float32")}.get(self.mode, ("float32",))
        if self.io not in allowed:
            raise RecipeError(
                f"{self.mode} cannot have {self.io} inputs and outputs", do="one of " + ", ".join(allowed)
            )

    @property
    def prefix(self) -> str:
        return "original-" if self.original else ""

    @property
    def label(self) -> str:
        return f"original {self.mode}" if self.original else self.mode

    @property
    def scheme(self) -> str:
        return SCHEMES[self.mode]
