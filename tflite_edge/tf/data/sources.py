"""Where samples come from. Every source yields a Pool; nothing is resized, normalised or split here."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tflite_edge.records.errors import DataError, MissingError
from tflite_edge.records.plain import nearest
from tflite_edge.records.preprocess import Preprocess


@dataclass
class Pool:
    """Raw samples with labels, before any split.

    samples: uint8 [N, H, W] or [N, H, W, C] images, float32 [N, ...] values, or N image paths.
    y: int64 [N] class numbers, float32 [N, ...] targets, or None.
    fixed: names of the split of each sample ("train" / "test") where the source brings its own, else None.
    """

    name: str
    samples: np.ndarray | Sequence[Path]
    y: np.ndarray | None
    classes: tuple[str, ...]
    sha256: str
    fixed: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def are_images(self) -> bool:
        return not isinstance(self.samples, np.ndarray) or (self.samples.dtype == np.uint8 and self.samples.ndim >= 3)

    def read(self, indices: np.ndarray, preprocess: Preprocess) -> tuple[np.ndarray, np.ndarray]:
        """(uint8 [n, H, W, C] or float32 [n, ...], the indices that could be read).

        Files that cannot be decoded are left out and named in `notes`; more than one in ten is an error.
        """
        if not self.are_images:
            assert isinstance(self.samples, np.ndarray)
            return self.samples[indices], indices
        from PIL import Image

        from tflite_edge.tf.data.images import BROKEN, decode, fit

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
        with ThreadPoolExecutor(os.cpu_count()) as pool:
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
    raise DataError(f"no data called {source!r}", evidence="no such name, folder or file", do=nearest(source, SOURCES))


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
    if len(x) == 0:
        raise DataError(f"{name} holds no samples")
    if y is not None:
        if len(y) != len(x):
            raise DataError(f"{name} has {len(x)} samples but {len(y)} labels")
        y = _labels(name, np.asarray(y))
    if x.dtype != np.uint8:
        if not np.issubdtype(x.dtype, np.number):
            raise DataError(f"{name} holds values of type {x.dtype}", do="store uint8 images or float32 values")
        x = x.astype(np.float32)
        if not np.isfinite(x).all():
            raise DataError(
                f"{name} holds NaN or infinite values", evidence=f"{int((~np.isfinite(x)).sum())} of {x.size}"
            )
    if y is not None and np.issubdtype(y.dtype, np.integer):
        count = int(y.max()) + 1
        classes = tuple(classes) if classes and len(classes) >= count else tuple(str(i) for i in range(count))
        _refuse_one_class(name, [classes[i] for i in np.unique(y)])
    digest = hashlib.sha256(np.ascontiguousarray(x).tobytes())
    digest.update(b"" if y is None else y.tobytes())
    return Pool(name, np.ascontiguousarray(x), y, tuple(classes or ()), digest.hexdigest(), fixed)


def _labels(name: str, y: np.ndarray) -> np.ndarray:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all():
        y = y.argmax(axis=1)
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
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, MemoryError) as error:
        raise DataError(
            f"cannot read {path}", evidence=f"{error}", do="an .npz of plain arrays, made by numpy.savez"
        ) from error
    classes = tuple(map(str, arrays.get("classes", ())))
    if "x_train" in arrays and "x_test" in arrays:
        x = np.concatenate([arrays["x_train"], arrays["x_test"]])
        y = np.concatenate([arrays["y_train"], arrays["y_test"]]) if {"y_train", "y_test"} <= arrays.keys() else None
        fixed = np.array(["train"] * len(arrays["x_train"]) + ["test"] * len(arrays["x_test"]))
        return _pool(path.name, x, y, fixed=fixed, classes=classes)
    if "x" in arrays:
        return _pool(path.name, arrays["x"], arrays.get("y"), classes=classes)
    raise DataError(
        f"{path} has no array `x`, nor `x_train` and `x_test`",
        evidence="it holds: " + ", ".join(sorted(arrays)),
        do="numpy.savez(path, x=images, y=labels)",
    )


def _folder(root: Path) -> Pool:
    """One sub-folder per class; or `train/` and `test/` (or `val/`), each with one sub-folder per class."""
    from tflite_edge.tf.data.images import EXTENSIONS

    splits = {"train": "train", "test": "test", "val": "test", "validation": "test"}
    tops = [p for p in sorted(root.iterdir()) if p.is_dir() and not p.name.startswith(".")]
    halves = [p for p in tops if p.name in splits]
    own_split = len(halves) == len(tops) == 2 and {splits[p.name] for p in halves} == {"train", "test"}
    folders = (
        [(p, splits[h.name]) for h in halves for p in sorted(h.iterdir()) if p.is_dir()]
        if own_split
        else [(p, "") for p in tops]
    )
    classes = tuple(sorted({p.name for p, _ in folders}))
    if not folders:
        raise DataError(
            f"{root} has no sub-folders",
            evidence=f"{len(list(root.iterdir()))} entries in it",
            do="one sub-folder per class",
        )
    _refuse_one_class(str(root), classes)
    paths: list[Path] = []
    labels: list[int] = []
    fixed: list[str] = []
    digest, foreign = hashlib.sha256(), 0
    for folder, split in folders:
        files = [p for p in sorted(folder.rglob("*")) if p.is_file() and not p.name.startswith(".")]
        images = [p for p in files if p.suffix.lower() in EXTENSIONS]
        foreign += len(files) - len(images)
        if not images:
            what = f"{len(files)} files, none of them an image" if files else "the folder is empty"
            raise DataError(
                f"no images for the class {folder.name!r}",
                evidence=f"{folder}: {what}",
                do="add images, or remove the folder",
            )
        for image in images:
            digest.update(
                f"{image.relative_to(root).as_posix()}\0".encode() + hashlib.sha256(image.read_bytes()).digest()
            )
        paths += images
        labels += [classes.index(folder.name)] * len(images)
        fixed += [split] * len(images)
    notes = [f"left out, not images: {foreign} files"] if foreign else []
    y = np.array(labels, dtype=np.int64)
    return Pool(str(root), paths, y, classes, digest.hexdigest(), np.array(fixed) if own_split else None, notes)
