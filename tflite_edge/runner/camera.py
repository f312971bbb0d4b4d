"""One frame from the board's camera, through the program that the system has for it."""

from __future__ import annotations

import shutil
import subprocess
from typing import List, Tuple

from tflite_edge.records.errors import MissingError, TargetError

DEADLINE_S = 30.0


def commands(device: str) -> List[Tuple[str, List[str]]]:
    """(program, its arguments for one JPEG on stdout), the preferred first. device: "" or such as /dev/video0."""
    cameras = [
        (name, ["--immediate", "--nopreview", "-t", "1", "-e", "jpg", "-o", "-"])
        for name in ("rpicam-still", "libcamera-still")
    ]
    usb = ("fswebcam", ["--quiet", "--no-banner", "-d", device or "/dev/video0", "-"])
    ffmpeg = (
        "ffmpeg",
        ["-v", "error", "-f", "v4l2", "-i", device or "/dev/video0", "-frames:v", "1", "-f", "mjpeg", "-"],
    )
    return [usb, ffmpeg] if device else [*cameras, usb, ffmpeg]


def frame(device: str = "") -> bytes:
    """A JPEG. Raises MissingError without a program for it, TargetError where the camera gives none."""
    for program, arguments in commands(device):
        if shutil.which(program):
            try:
                done = subprocess.run([program, *arguments], capture_output=True, timeout=DEADLINE_S, check=False)
            except subprocess.TimeoutExpired as error:
                raise TargetError(f"{program} gave no picture within {DEADLINE_S:g} s") from error
            if done.returncode or not done.stdout:
                raise TargetError(
                    f"{program} gave no picture",
                    evidence=done.stderr.decode(errors="replace")[-500:],
                    do="see that the camera is connected, enabled and not in use",
                )
            return done.stdout
    names = ", ".join(program for program, _ in commands(device))
    raise MissingError(
        "no program for the camera", evidence=f"none of {names}", do="sudo apt install rpicam-apps, or fswebcam for USB"
    )
