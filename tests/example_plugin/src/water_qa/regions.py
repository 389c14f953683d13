"""Where the phantom is, and discs in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part of a mask (n_y, n_x): the phantom, and not its table."""
    import numpy as np
    from scipy.ndimage import label

    parts, count = label(mask)
    if count == 0:
        return np.zeros_like(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(parts == int(sizes.argmax()))


def disc(
    shape: tuple[int, int], spacing_mm: tuple[float, float], middle_mm: tuple[float, float], diameter_mm: float
) -> NDArray[np.bool_]:
    """Pixels (n_y, n_x) whose centres lie in a disc; positions are (x, y) from the centre of the first pixel."""
    import numpy as np

    x = np.arange(shape[1]) * spacing_mm[0] - middle_mm[0]
    y = np.arange(shape[0]) * spacing_mm[1] - middle_mm[1]
    return np.asarray(np.hypot(x[None, :], y[:, None]) <= diameter_mm / 2.0)
