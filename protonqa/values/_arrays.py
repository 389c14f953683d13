"""Checks shared by the value objects: finite, right shape, read-only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from protonqa.errors import GeometryError, InputError


def frozen_array(
    array: Any, name: str, *, dtype: DTypeLike = np.float64, shape: tuple[int | None, ...] | None = None
) -> NDArray[Any]:
    """A read-only, contiguous array of `dtype`; NaN and infinity are refused with their count and first index."""
    view = np.ascontiguousarray(array, dtype=dtype)
    if view is array or view.base is not None:
        view = view.copy() if view.flags.writeable else view
    if shape is not None:
        same = view.ndim == len(shape) and all(
            want is None or want == have for want, have in zip(shape, view.shape, strict=True)
        )
        if not same:
            raise GeometryError(f"{name} has the wrong shape", got=str(view.shape), expected=str(shape))
    require_finite(view, name)
    view.setflags(write=False)
    return view


def require_finite(array: NDArray[Any], name: str) -> None:
    """Raise InputError when `array` holds NaN or infinity: a silent NaN becomes a silent wrong number."""
    if not np.issubdtype(array.dtype, np.floating):
        return
    bad = ~np.isfinite(array)
    count = int(np.count_nonzero(bad))
    if count:
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputError(
            f"{name} holds values that are not finite",
            got=f"{count} NaN or infinite values, the first at index {first}",
            expected="finite numbers",
            remedy="repair the file; protonqa never replaces NaN silently",
        )
