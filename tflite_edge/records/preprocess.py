"""How raw data becomes what the model takes: one record, used by training, calibration and the board."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

from tflite_edge.records.errors import RecipeError

# (mean, std) per channel in raw pixel units 0..255: value = (pixel - mean) / std. Channels are RGB.
# The most usual first: where the data cannot tell two apart, the earlier one is taken.
# "imagenet-torch" is torchvision's mean and std (pytorch.org, torchvision.models) times 255; "imagenet-caffe" is
# the mean that Keras's ResNet50 and VGG were trained with (keras.applications.imagenet_utils), here in RGB order.
NORMALIZATIONS: Dict[str, Tuple[Tuple[float, ...], Tuple[float, ...]]] = {
    "-1..1": ((127.5,), (127.5,)),
    "0..1": ((0.0,), (255.0,)),
    "none": ((0.0,), (1.0,)),
    "imagenet-torch": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "imagenet-caffe": ((123.68, 116.779, 103.939), (1.0,)),
}


@dataclass(frozen=True)
class Preprocess:
    """Images are decoded upright, resized to `size`, given `channels` channels, then normalised.

    size: (height, width) in pixels, or None for data that are not images (only normalised).
    fit: "stretch" ignores the aspect ratio; "crop" scales the shorter side and cuts the centre.
    mean, std: one value, or one per channel, in raw units; value = (raw - mean) / std.
    """

    size: Optional[Tuple[int, ...]] = None
    channels: int = 3
    fit: str = "stretch"
    resample: str = "bilinear"
    mean: Tuple[float, ...] = (0.0,)
    std: Tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if self.fit not in ("stretch", "crop"):
            raise RecipeError(f"fit must be 'stretch' or 'crop', not {self.fit!r}")
        if self.resample not in ("bilinear", "nearest", "bicubic", "box"):
            raise RecipeError(f"resample must be bilinear, nearest, bicubic or box, not {self.resample!r}")
        if self.size is not None and self.channels not in (1, 3, 4):
            raise RecipeError(f"images have 1, 3 or 4 channels, not {self.channels}")
        if 0.0 in self.std:
            raise RecipeError("std must not contain 0")
        for values in (self.mean, self.std):
            if len(values) not in (1, self.channels):
                raise RecipeError(f"mean and std take 1 or {self.channels} values, not {len(values)}")

    @property
    def is_identity(self) -> bool:
        return set(self.mean) == {0.0} and set(self.std) == {1.0}
