"""CT and PET alike: from a path to sorted slices and their values on one grid, rescaled slice by slice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protonqa.dicom.attributes import Attributes
from protonqa.dicom.limits import ReadLimits
from protonqa.dicom.pixels import check_decoder, check_matrix, check_pixel_bytes, check_voxels, stored_values
from protonqa.dicom.series import SeriesFile, Wanted, choose, read_again, scan, series_info
from protonqa.dicom.sources import open_sources
from protonqa.dicom.stack import Slice, Stack, read_slice, stack_slices
from protonqa.errors import DicomError, InputError
from protonqa.values import Finding, SeriesInfo

#: Slope, intercept of one file; raises where the file does not say them.
Rescale = Callable[[Attributes], tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageSeries:
    """A sorted series and its values.

    Parameters
    ----------
    stack : Stack
    values : (nz, ny, nx) float32
        slope * stored + intercept of each slice, multiplied in float64.
    info : SeriesInfo
    used : tuple of Attributes
        Headers of the slices in order, a missing one left out.
    padding : (nz, ny, nx) bool or None
        Voxels that hold the file's PixelPaddingValue; None where no file names one.
    """

    stack: Stack
    values: NDArray[np.float32]
    info: SeriesInfo
    used: tuple[Attributes, ...]
    padding: NDArray[np.bool_] | None = None


@contextmanager
def image_series(
    path: str | Path,
    wanted: Wanted,
    check: Callable[[tuple[Attributes, ...]], None],
    rescale: Rescale,
    findings: list[Finding],
    *,
    limits: ReadLimits,
    series: str | None,
    fill_one_slice: bool,
) -> Iterator[ImageSeries]:
    """Scan, choose, sort and load one image series.

    Parameters
    ----------
    check : callable
        Looks at the headers of the chosen series (units, kind of image) before any pixel is decoded.
    findings : list of Finding
        Receives what is found on the way.
    """
    with open_sources(path, wanted.what, limits) as sources:
        result = scan(sources, wanted, limits)
        files = choose(result, wanted, series).files
        findings.extend(result.findings)
        check(tuple(file.attributes for file in files))
        stack = _sorted_stack(files, wanted.what, rescale, limits, fill_one_slice)
        findings.extend(stack.findings)
        values, padding = _load(stack, rescale, limits)
        ignored = [*result.ignored, *((copy.label, "an identical copy of another slice") for copy in stack.copies)]
        used = tuple(one.file for one in stack.slices if one is not None)
        info = series_info(used, ignored, wanted.what, findings)
        yield ImageSeries(
            stack=stack, values=values, info=info, used=tuple(file.attributes for file in used), padding=padding
        )


def _sorted_stack(
    files: tuple[SeriesFile, ...], what: str, rescale: Rescale, limits: ReadLimits, fill_one_slice: bool
) -> Stack:
    slices = []
    for file in files:
        matrix = check_matrix(file.attributes, limits)
        if matrix[0] != 1:
            raise DicomError(
                f"{file.label} of the {what} holds several frames",
                got=f"{matrix[0]} frames in one file",
                expected="one image per file",
                remedy="export one time frame as single-slice files",
            )
        check_decoder(file.attributes, file.layout)
        check_pixel_bytes(file.attributes, file.layout, matrix)
        slices.append(read_slice(file, matrix))
    check_voxels(len(slices), slices[0].rows, slices[0].columns, limits, f"the {what}")

    def same_pixels(first: Slice, second: Slice) -> bool:
        if rescale(first.file.attributes) != rescale(second.file.attributes):
            return False
        return bool(np.array_equal(_stored(first, limits), _stored(second, limits)))

    return stack_slices(slices, what, same_pixels, fill_one_slice=fill_one_slice)


def _stored(one: Slice, limits: ReadLimits) -> NDArray[Any]:
    data, layout = read_again(one.file, limits)
    return stored_values(data, layout, one.file.attributes, (1, one.rows, one.columns))[0]


def _load(stack: Stack, rescale: Rescale, limits: ReadLimits) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    values = np.empty(stack.grid.shape, dtype=np.float32)
    padding: NDArray[np.bool_] | None = None
    for index, one in enumerate(stack.slices):
        if one is None:
            continue
        stored = _stored(one, limits)
        slope, intercept = rescale(one.file.attributes)
        scaled = stored * np.float64(slope) + np.float64(intercept)
        if not np.all(np.abs(scaled) <= np.finfo(np.float32).max):
            raise InputError(
                f"rescaled values of {one.file.label} are beyond any number that can be stored",
                got=f"slope {slope:g}, intercept {intercept:g}",
            )
        values[index] = scaled
        pad = one.file.attributes.hint("PixelPaddingValue")
        if pad is not None:
            if padding is None:
                padding = np.zeros(stack.grid.shape, dtype=bool)
            padding[index] = stored == pad
    for index, one in enumerate(stack.slices):
        if one is None:
            values[index] = 0.5 * (values[index - 1] + values[index + 1])
            if padding is not None:
                padding[index] = padding[index - 1] & padding[index + 1]
    return values, padding
