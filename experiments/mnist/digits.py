"""Handwritten digits: the subset in this folder, or the original files of MNIST."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewshot_sep.errors import FewshotSepError

SUBSET = Path(__file__).parent / "data" / "digits.npz"
PARTS = {"train": "train", "test": "t10k"}
_IMAGES, _LABELS = 2051, 2049  # the magic numbers of the IDX format: unsigned bytes in three dimensions and in one


class Digits(NamedTuple):
    """Shape: images `(count, 28, 28)` uint8, white on black; labels `(count,)`, 0 to 9."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def those(self, chosen: slice | NDArray[np.bool_]) -> Digits:
        return Digits(self.images[chosen], self.labels[chosen])

    def joined(self, more: Digits) -> Digits:
        return Digits(np.concatenate([self.images, more.images]), np.concatenate([self.labels, more.labels]))


def load(part: str, folder: Path | None = None) -> Digits:
    """The digits of `train` or `test`: 10,000 and 2,000 bundled ones, or all of those in `folder`.

    Raises:
        FewshotSepError: `folder` lacks a file, or one is not in the IDX format.
    """
    if folder is not None:
        images = _read_idx(folder, f"{PARTS[part]}-images-idx3-ubyte", _IMAGES)
        labels = _read_idx(folder, f"{PARTS[part]}-labels-idx1-ubyte", _LABELS)
        if images.shape[1:] != (28, 28) or len(images) != len(labels):
            raise FewshotSepError(f"{folder}: {part} has {len(labels)} labels for images of shape {images.shape}")
        return Digits(images, labels.astype(np.int64))
    with np.load(SUBSET) as stored:
        return Digits(stored[f"{part}_images"], stored[f"{part}_labels"].astype(np.int64))


def _read_idx(folder: Path, name: str, magic: int) -> NDArray[np.uint8]:
    """An IDX file, gzipped or not, under its original name or with a dot before `idx`, as some copies have it."""
    names = [name, name.replace("-idx", ".idx")]
    found = [folder / (n + end) for n in names for end in ("", ".gz") if (folder / (n + end)).is_file()]
    if not found:
        raise FewshotSepError(f"{folder / name}: not found, nor with .gz; give a folder with the four files of MNIST")
    content = found[0].read_bytes()
    try:
        content = gzip.decompress(content) if found[0].suffix == ".gz" else content
        shape = [int(n) for n in np.frombuffer(content, ">i4", 1 + (3 if magic == _IMAGES else 1))]
        if shape.pop(0) != magic:
            raise ValueError("another magic number")
        return np.frombuffer(content, np.uint8, offset=4 * (1 + len(shape))).reshape(shape)
    except (OSError, EOFError, ValueError) as error:
        raise FewshotSepError(f"{found[0]}: not an IDX file of MNIST ({error}); download it again") from error


def pack(folder: Path, path: Path = SUBSET, train: int = 10_000, test: int = 2_000) -> None:
    """Write the subset: the first `train` and `test` digits of the original files in `folder`."""
    arrays = {}
    for part, count in (("train", train), ("test", test)):
        digits = load(part, folder)
        arrays[f"{part}_images"] = digits.images[:count]
        arrays[f"{part}_labels"] = digits.labels[:count].astype(np.uint8)
    np.savez_compressed(path, allow_pickle=False, **arrays)
