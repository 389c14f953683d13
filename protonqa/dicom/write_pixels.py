"""Pixel values as integers: scaled so that a reader gets each value back within half a step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from protonqa.dicom.write_text import decimal


def quantise(
    values: NDArray[np.float32], kind: type[np.int16 | np.uint16 | np.uint32]
) -> tuple[NDArray[np.integer], str]:
    """Integers and the slope as it is written, such that integer times slope is the value within half a slope."""
    top = float(np.iinfo(kind).max)
    largest = float(np.abs(values).max())
    # The slope is rounded to the text that is written before it is used: readers see that number, not ours.
    slope = decimal(largest / top) if largest > 0 else "1"
    stored = np.rint(values.astype(np.float64) / float(slope))
    return np.clip(stored, -top if kind is np.int16 else 0, top).astype(kind), slope


def set_pixels(dataset: Dataset, stored: np.ndarray[Any, Any]) -> None:
    """Pixel module of one frame or several, (rows, columns) or (frames, rows, columns), little endian integers."""
    bits = stored.dtype.itemsize * 8
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = 1 if stored.dtype.kind == "i" else 0
    dataset.add_new("PixelData", "OW", stored.astype(stored.dtype.newbyteorder("<"), copy=False).tobytes())
