"""An image folder: which of its sub-folders are splits, which are classes, and what is in them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tflite_edge.harness.photos import IMAGES, hidden
from tflite_edge.records.errors import DataError

# What people call the parts of a data set, in lower case.
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


class ClassFolder(NamedTuple):
    """The images of one class. split: "train", "test", or "" where the images are to be split by us."""

    path: Path
    split: str


def class_folders(root: Path) -> tuple[list[ClassFolder], list[str]]:
    """(the class folders of `root`, notes on how it was read): one per class, or one per class in each split.

    Validation images are for training and calibration; they are the test only where there is no other.
    Raises DataError when splits and classes lie side by side, or when the splits have different classes.
    """
    tops = _visible(root)
    parts = [p for p in tops if p.name.lower() in SPLITS]
    if len(parts) < len(tops):
        mixed = [p for p in parts if _visible(p) and not any(f.suffix.lower() in IMAGES for f in p.iterdir())]
        if mixed:
            raise DataError(
                f"{root} holds splits and other folders side by side",
                evidence=f"splits: {_names(mixed)}; others: {_names(p for p in tops if p not in mixed)}",
                do="keep only train, validation and test there, or only one sub-folder per class",
            )
        return [ClassFolder(p, "") for p in tops], []
    if not parts:
        return [], []
    _refuse_different_classes(root, parts)
    roles, note = _roles(parts)
    return [ClassFolder(p, roles[part]) for part in parts for p in _visible(part)], [note] if note else []


def images_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """(images, other files) in and below `folder`, in alphabetical order; hidden files and folders do not count."""
    files = [
        p
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not any(map(hidden, p.relative_to(folder).parts))  # .ipynb_checkpoints holds copies
    ]
    images = [p for p in files if p.suffix.lower() in IMAGES]
    return images, [p for p in files if p.suffix.lower() not in IMAGES]


def _roles(parts: list[Path]) -> tuple[dict[Path, str], str]:
    kinds = {part: SPLITS[part.name.lower()] for part in parts}
    if len(set(kinds.values())) == 1:
        return dict.fromkeys(parts, ""), f"the images of {_names(parts)} are all there are: they are split anew"
    if "test" in kinds.values():
        return {part: "test" if kind == "test" else "train" for part, kind in kinds.items()}, ""
    validation = _names(part for part, kind in kinds.items() if kind == "validation")
    roles = {part: "test" if kind == "validation" else "train" for part, kind in kinds.items()}
    return roles, f"there is no test folder: {validation} is the test"


def _refuse_different_classes(root: Path, parts: list[Path]) -> None:
    classes = {part: {p.name for p in _visible(part)} for part in parts}
    every = set().union(*classes.values())
    if not every:
        raise DataError(
            f"{_names(parts)} in {root} have no sub-folders",
            do="one sub-folder per class in each of them",
        )
    lacking = [
        f"{part.name} has no folder for {', '.join(sorted(every - have))}"
        for part, have in classes.items()
        if have != every
    ]
    if lacking:
        raise DataError(
            f"the splits in {root} have different classes",
            evidence="\n".join(lacking),
            do="the same class folders in every split, with images in each",
        )


def _visible(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.iterdir()) if p.is_dir() and not hidden(p.name)]


def _names(folders: Iterable[Path]) -> str:
    return ", ".join(p.name for p in folders)
