"""Structures drawn on a planning CT, as a planning system exports them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import GeometryError, InputError
from protonqa.values._arrays import frozen_array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Structure:
    """One region of interest as closed contours.

    Parameters
    ----------
    name : str
        For lists only: people write anything into it, names of patients too.
    number : int
        Its number in the file.
    colour_rgb : (int, int, int) or None
        0 to 255.
    contours : tuple of (n, 3) float64
        Points in LPS, mm, at least three; the last one joins the first. Several in one plane count odd-even.

    Raises
    ------
    GeometryError
        A contour of another shape, or of fewer than three points.
    InputError
        A point that is not finite, a colour out of range.
    """

    name: str = field(repr=False)
    number: int
    colour_rgb: tuple[int, int, int] | None = None
    contours: tuple[NDArray[np.float64], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.colour_rgb is not None and not all(0 <= one <= 255 for one in self.colour_rgb):
            raise InputError("the colour of a structure is out of range", got=str(self.colour_rgb), expected="0 to 255")
        contours = tuple(frozen_array(one, "contour", shape=(None, 3)) for one in self.contours)
        if any(len(one) < 3 for one in contours):
            raise GeometryError("a closed contour has too few points", expected="at least 3")
        object.__setattr__(self, "contours", contours)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StructureSet:
    """The structures of one file, all in one frame of reference.

    Parameters
    ----------
    structures : tuple of Structure
    frame_of_reference_uid : str
    referenced_series_uid : str
        The series they were drawn on; empty where the file does not say.
    """

    structures: tuple[Structure, ...] = ()
    frame_of_reference_uid: str = field(default="", repr=False)
    referenced_series_uid: str = field(default="", repr=False)
