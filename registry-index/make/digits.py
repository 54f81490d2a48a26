"""The 1,797 digits: read from scikit-learn's wheel, split by a fixed rule, written as CSV."""

import gzip
import hashlib
import zipfile

import numpy as np

MEMBER = "sklearn/datasets/data/digits.csv.gz"
# Of the uncompressed CSV in scikit-learn 1.9.1: another file would be another data set.
SHA256 = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"
HEADER = ",".join(f"p{row}{column}" for row in range(8) for column in range(8)) + ",label"


def load(wheel):
    """All rows in the order of the source: pixels 0 to 16 and labels."""
    with zipfile.ZipFile(wheel) as archive:
        text = gzip.decompress(archive.read(MEMBER))
    found = hashlib.sha256(text).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{wheel}: {MEMBER} has sha256 {found}, expected {SHA256}")
    table = np.loadtxt(text.decode().splitlines(), delimiter=",").astype(np.int64)
    pixels, labels = table[:, :64], table[:, 64]
    assert table.shape == (1797, 65) and pixels.min() == 0 and pixels.max() == 16
    return pixels, labels


def split(pixels, labels):
    """Rows 4, 9, 14… (every fifth, counted from 0) are held out; the rest is for training."""
    held_out = np.arange(len(labels)) % 5 == 4
    return (pixels[~held_out], labels[~held_out]), (pixels[held_out], labels[held_out])


def write(path, pixels, labels):
    rows = (",".join(map(str, [*row, label])) for row, label in zip(pixels, labels, strict=True))
    path.write_text("\n".join([HEADER, *rows]) + "\n")
