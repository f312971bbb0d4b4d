"""Where samples come from. Every source yields a Pool; nothing is resized, normalised or split here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tflite_edge.harness.pack import UNREADABLE
from tflite_edge.records.errors import DataError, MissingError
from tflite_edge.records.job import cores
from tflite_edge.records.labels import refuse_broken_lines
from tflite_edge.records.plain import nearest
from tflite_edge.records.preprocess import Preprocess


@dataclass
class Pool:
    """Raw samples with labels, before any split.

    samples: uint8 [N, H, W] or [N, H, W, C] images, float32 [N, ...] values, or N image paths.
    y: int64 [N] class numbers, float32 [N, ...] targets, or None.
    fixed: names of the split of each sample ("train" / "test") where the source brings its own, else None.
    named: whether classes have names, of which the class numbers are only the order.
    """

    name: str
    samples: np.ndarray | Sequence[Path]
    y: np.ndarray | None
    classes: tuple[str, ...]
    sha256: str
    fixed: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
    named: bool = False

    @property
    def are_images(self) -> bool:
        return not isinstance(self.samples, np.ndarray) or (self.samples.dtype == np.uint8 and self.samples.ndim >= 3)

    @property
    def channels(self) -> int | None:
        """Of the images: 1 where they are grey, 3 where they are coloured, and for files, which may be either.

        Of other values the size of the last axis, where they are laid out as images; else None.
        """
        if not isinstance(self.samples, np.ndarray):
            return 3
        if self.samples.ndim == 4:
            return min(self.samples.shape[3], 3) if self.are_images else self.samples.shape[3]
        return 1 if self.are_images else None

    def read(self, indices: np.ndarray, preprocess: Preprocess) -> tuple[np.ndarray, np.ndarray]:
        """(uint8 [n, H, W, C] or float32 [n, ...], the indices that could be read).

        Files that cannot be decoded are left out and named in `notes`; more than one in ten is an error.
        """
        if not self.are_images:
            assert isinstance(self.samples, np.ndarray)
            return self.samples[indices], indices
        from PIL import Image

        from tflite_edge.runner.images import BROKEN, decode, fit

        def one(index: int) -> np.ndarray | None:
            sample = self.samples[index]
            try:
                return (
                    decode(sample, preprocess) if isinstance(sample, Path) else fit(Image.fromarray(sample), preprocess)
                )
            except BROKEN as error:
                broken.append(f"{sample}: {error}")
                return None

        broken: list[str] = []
        if isinstance(self.samples, np.ndarray):
            squeezed = self.samples[..., 0] if self.samples.ndim == 4 and self.samples.shape[-1] == 1 else self.samples
            self.samples = squeezed
        with ThreadPoolExecutor(cores()) as pool:
            decoded = list(pool.map(one, indices.tolist()))
        if len(broken) * 10 > len(indices):
            raise DataError(
                f"{len(broken)} of {len(indices)} images in {self.name} cannot be read",
                evidence="\n".join(sorted(broken)[:5]),
                do="remove or replace the broken files",
            )
        self.notes += [
            note for note in sorted(f"left out, cannot be read: {line}" for line in broken) if note not in self.notes
        ]
        kept = np.array([i for i, image in zip(indices, decoded, strict=True) if image is not None], dtype=np.int64)
        return np.stack([image for image in decoded if image is not None]), kept


def open_source(source: str) -> Pool:
    """The pool behind a name, an image folder or an .npz file. Raises DataError or MissingError."""
    if source in SOURCES:
        return SOURCES[source]()
    path = Path(source)
    if path.is_dir():
        return _folder(path)
    if path.suffix == ".npz":
        return _npz(path)
    if path.exists():
        raise DataError(f"{source} is neither an image folder nor an .npz file", do="see `tflite-edge convert --help`")
    raise DataError(
        f"no data called {source!r}", evidence="no such name, folder or file", do=nearest(path.name, SOURCES)
    )


def refuse_other_classes(pool: Pool, outputs: int, model: str) -> None:
    """Raise DataError when `pool`'s classes have names and `model` does not have one output for each of them.

    Where numbers are only the names' order, a missing class shifts the labels of all that come after it.
    """
    if pool.named and len(pool.classes) != outputs:
        raise DataError(
            f"{pool.name} has {len(pool.classes)} classes, but {model} has {outputs} outputs",
            evidence=f"classes: {', '.join(pool.classes)}",
            do="a folder with images for each class the model knows, in alphabetical order that of its outputs; "
            "or an .npz with integer labels, which may lack a class",
        )


def _digits() -> Pool:
    """1,797 handwritten digits, 8 x 8 pixels of 17 grey levels (E. Alpaydin, C. Kaynak, 1998; UCI)."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingError(
            "the digits come with scikit-learn", evidence=str(error), do="pip install scikit-learn"
        ) from error
    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    return _pool("digits", images, digits.target)


def _keras(name: str) -> Callable[[], Pool]:
    def load() -> Pool:
        from tflite_edge.tf.quiet import quiet

        with quiet():
            import tf_keras

            module = getattr(tf_keras.datasets, name)
            try:
                (x, y), (x_test, y_test) = module.load_data()
            except Exception as error:
                raise MissingError(
                    f"the data set {name} is not in Keras's cache and could not be downloaded",
                    evidence=str(error),
                    do="connect to the network once, or put Keras's files into ~/.keras/datasets",
                ) from error
        fixed = np.array(["train"] * len(x) + ["test"] * len(x_test))
        return _pool(
            name, np.concatenate([x, x_test]), np.concatenate([y, y_test]), fixed=fixed, classes=NAMES.get(name)
        )

    return load


NAMES = {
    "fashion_mnist": (
        "t-shirt",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle-boot",
    ),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}
SOURCES: dict[str, Callable[[], Pool]] = {
    "digits": _digits,
    "mnist": _keras("mnist"),
    "fashion_mnist": _keras("fashion_mnist"),
    "cifar10": _keras("cifar10"),
    "cifar100": _keras("cifar100"),
}


def _pool(
    name: str,
    x: np.ndarray,
    y: np.ndarray | None,
    *,
    fixed: np.ndarray | None = None,
    classes: Sequence[str] | None = None,
) -> Pool:
    """Arrays checked and brought to the pool's types: labels flat, one-hot undone, values finite."""
    x, notes, named = _values(name, x), [], bool(classes)
    if y is not None:
        if y.ndim == 0 or len(y) != len(x):
            raise DataError(f"{name} has {len(x)} samples but {len(y) if y.ndim else 'a single number as'} labels")
        if _is_one_hot(y):
            notes.append(f"labels are one-hot rows of {y.shape[1]}: taken as class numbers")
            classes = classes or tuple(map(str, range(y.shape[1])))
            y = y.argmax(axis=1)
        y = _labels(name, y)
    if y is not None and np.issubdtype(y.dtype, np.integer):
        classes = _class_names(name, y, classes)
    digest = hashlib.sha256(np.ascontiguousarray(x).tobytes())
    digest.update(b"" if y is None else y.tobytes())
    return Pool(name, np.ascontiguousarray(x), y, tuple(classes or ()), digest.hexdigest(), fixed, notes, named)


def _values(name: str, x: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W] or [N, H, W, 1, 3 or 4] images, uint8 [N, F] values, or float32 [N, ...]."""
    if x.size == 0 or x.ndim == 0:
        raise DataError(f"{name} holds no samples", evidence=f"x has shape {list(x.shape)}")
    if x.dtype == np.uint8:
        if x.ndim > 4 or (x.ndim == 4 and x.shape[3] not in (1, 3, 4)):
            raise DataError(
                f"{name} holds uint8 samples of {list(x.shape[1:])}, which are no images",
                evidence="images are [height, width] or [height, width, 1, 3 or 4 channels]",
                do="move the channels last; or store values that are no pixels as float32",
            )
        return x
    if x.dtype.kind not in "iuf":
        raise DataError(f"{name} holds values of type {x.dtype}", do="store uint8 images or float32 values")
    x = x.astype(np.float32)
    if not np.isfinite(x).all():
        raise DataError(f"{name} holds NaN or infinite values", evidence=f"{int((~np.isfinite(x)).sum())} of {x.size}")
    return x


def _class_names(name: str, y: np.ndarray, classes: Sequence[str] | None) -> tuple[str, ...]:
    count = int(y.max()) + 1
    if classes and len(classes) < count:
        raise DataError(
            f"{name} names {len(classes)} classes, but its labels go up to number {count - 1}",
            evidence=", ".join(classes),
            do="one name for each class number from 0 on",
        )
    classes = tuple(classes or map(str, range(count)))
    _refuse_one_class(name, [classes[i] for i in np.unique(y)])
    refuse_broken_lines(classes, name)
    return classes


def _is_one_hot(y: np.ndarray) -> bool:
    if y.ndim != 2 or y.shape[1] < 2 or y.dtype.kind not in "biuf":
        return False
    return bool(np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all())


def _labels(name: str, y: np.ndarray) -> np.ndarray:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if np.issubdtype(y.dtype, np.integer) and y.ndim == 1:
        if y.min() < 0:
            raise DataError(f"{name} has negative class numbers", evidence=f"smallest: {y.min()}")
        return y.astype(np.int64)
    if not np.issubdtype(y.dtype, np.floating) or not np.isfinite(y).all():
        raise DataError(
            f"{name} has labels of type {y.dtype}, shape {y.shape}", do="integers [N], one-hot [N, K] or finite floats"
        )
    return y.astype(np.float32)


def _refuse_one_class(name: str, present: Sequence[str]) -> None:
    if len(present) < 2:
        raise DataError(
            f"{name} has one class only: {', '.join(map(str, present))}",
            do="accuracy needs at least two classes; an image folder has one sub-folder per class",
        )


def _npz(path: Path) -> Pool:
    try:
        # Opened here, because numpy leaves the file open when it is no archive.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except UNREADABLE as error:
        raise DataError(
            f"cannot read {path}", evidence=f"{error}", do="an .npz of plain arrays, made by numpy.savez"
        ) from error
    classes = tuple(map(str, np.atleast_1d(arrays.get("classes", ()))))
    if "x_train" in arrays and "x_test" in arrays:
        x = _joined(path, arrays, "x")
        y = _joined(path, arrays, "y") if "y_train" in arrays or "y_test" in arrays else None
        fixed = np.array(["train"] * len(arrays["x_train"]) + ["test"] * len(arrays["x_test"]))
        return _pool(path.name, x, y, fixed=fixed, classes=classes)
    if "x" in arrays:
        return _pool(path.name, arrays["x"], arrays.get("y"), classes=classes)
    raise DataError(
        f"{path} has no array `x`, nor `x_train` and `x_test`",
        evidence="it holds: " + ", ".join(sorted(arrays)),
        do="numpy.savez(path, x=images, y=labels)",
    )


def _joined(path: Path, arrays: dict[str, np.ndarray], key: str) -> np.ndarray:
    """The train and the test half of x or y, which must be alike: as many labels as samples, of one shape and kind.

    Of labels one half may be one-hot and the other class numbers.
    """
    halves = [arrays[name] for name in (f"{key}_train", f"{key}_test") if name in arrays]
    samples = [arrays["x_train"], arrays["x_test"]]
    if key == "y" and len(halves) == 2:
        halves = _alike(halves)
    if (
        len(halves) < 2
        or any(half.ndim == 0 for half in halves)
        or halves[0].shape[1:] != halves[1].shape[1:]
        or any(half.shape[:1] != x.shape[:1] for half, x in zip(halves, samples, strict=True))
        or not _of_one_kind(halves, key)
    ):
        raise DataError(
            f"{path}: {key}_train and {key}_test do not fit",
            evidence=", ".join(f"{name} {array.dtype} {list(array.shape)}" for name, array in sorted(arrays.items())),
            do="x_train, y_train, x_test and y_test: a label for every sample, samples of one shape and type, and as "
            "labels class numbers, one-hot rows or targets",
        )
    return np.concatenate(halves)


def _alike(halves: list[np.ndarray]) -> list[np.ndarray]:
    """Labels without the axis of a column; class numbers as one-hot rows where only the other half is one-hot."""
    flat = [half[:, 0] if half.ndim == 2 and half.shape[1] == 1 else half for half in halves]
    for one, other in ((0, 1), (1, 0)):
        hot, numbers = flat[one], flat[other]
        are_numbers = numbers.ndim == 1 and numbers.dtype.kind in "iu" and numbers.size
        if _is_one_hot(hot) and are_numbers and 0 <= numbers.min() <= numbers.max() < hot.shape[1]:
            flat[other] = np.eye(hot.shape[1], dtype=hot.dtype)[numbers]
    return flat


def _of_one_kind(halves: list[np.ndarray], key: str) -> bool:
    """Whether joining them changes no meaning: bytes are pixels, integers are class numbers."""
    if key == "x":
        return len({half.dtype == np.uint8 for half in halves}) == 1
    return all(map(_is_one_hot, halves)) or len({half.dtype.kind in "iu" for half in halves}) == 1


def _folder(root: Path) -> Pool:
    """One sub-folder per class; or train, validation and test (any two), each with one sub-folder per class."""
    from tflite_edge.tf.data.folder import class_folders, images_in

    folders, notes = class_folders(root)
    classes = tuple(sorted({p.name for p, _ in folders}))
    if not folders:
        raise DataError(
            f"{root} has no sub-folders",
            evidence=f"{len(list(root.iterdir()))} entries in it",
            do="one sub-folder per class",
        )
    _refuse_one_class(str(root), classes)
    refuse_broken_lines(classes, str(root))
    paths: list[Path] = []
    labels: list[int] = []
    fixed: list[str] = []
    digest, foreign = hashlib.sha256(), 0
    for folder, split in folders:
        images, others = images_in(folder)
        foreign += len(others)
        if not images:
            what = f"{len(others)} files, none of them an image" if others else "the folder is empty"
            raise DataError(
                f"no images for the class {folder.name!r}",
                evidence=f"{folder}: {what}",
                do="add images; a class cannot be left out, because the folders' order is that of the model's outputs "
                "(an .npz with integer labels may lack a class)",
            )
        for image in images:
            digest.update(
                os.fsencode(f"{image.relative_to(root).as_posix()}\0") + hashlib.sha256(image.read_bytes()).digest()
            )
        paths += images
        labels += [classes.index(folder.name)] * len(images)
        fixed += [split] * len(images)
    if foreign:
        notes.append(f"left out, not images: {foreign} files")
    own_split = np.array(fixed) if any(fixed) else None
    y = np.array(labels, dtype=np.int64)
    return Pool(str(root), paths, y, classes, digest.hexdigest(), own_split, notes, named=True)
