from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from fewshot_sep.errors import FewshotSepError
from fewshot_sep.experiments.mnist import digits


def write_idx(path: Path, values: np.ndarray) -> bytes:
    magic = 2048 + values.ndim
    content = np.array([magic, *values.shape], ">i4").tobytes() + values.astype(np.uint8).tobytes()
    (gzip.open if path.suffix == ".gz" else open)(path, "wb").write(content)  # type: ignore[operator]
    return content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for part, count in (("train", 30), ("t10k", 12)):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", random.integers(0, 256, (count, 28, 28)))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", np.arange(count) % 10)
    return tmp_path


def test_bundled_digits() -> None:
    train, test = digits.load("train"), digits.load("test")
    assert (train.images.shape, test.images.shape) == ((10_000, 28, 28), (2_000, 28, 28))
    assert train.images.dtype == np.uint8
    assert set(train.labels) == set(test.labels) == set(range(10))
    known = {image.tobytes() for image in train.images}
    assert not any(image.tobytes() in known for image in test.images)


def test_original_files_gzipped_or_not(folder: Path) -> None:
    train = digits.load("train", folder)
    assert train.images.shape == (30, 28, 28)
    assert train.labels.tolist() == [n % 10 for n in range(30)]
    raw = (folder / "train-images-idx3-ubyte").read_bytes()[16:]
    assert train.images.tobytes() == raw
    assert len(digits.load("test", folder).labels) == 12


def test_packed_digits_are_the_first(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits.pack(folder, tmp_path / "small.npz", train=5, test=3)
    monkeypatch.setattr(digits, "SUBSET", tmp_path / "small.npz")
    assert digits.load("train").images.tobytes() == digits.load("train", folder).images[:5].tobytes()
    assert digits.load("test").labels.tolist() == [0, 1, 2]


def test_missing_and_broken_files_are_named(folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FewshotSepError, match="t10k-labels-idx1-ubyte: not found"):
        digits.load("test", folder)
    for content in (b"", b"hello digits, hello", (folder / "train-images-idx3-ubyte").read_bytes()[:500]):
        (folder / "train-images-idx3-ubyte").write_bytes(content)
        with pytest.raises(FewshotSepError, match="not an IDX file"):
            digits.load("train", folder)
