"""The depth window: which bins of a profile may be used.

A distal window of L mm keeps [z_e - L, z_e] with z_e = planned R80 + 20 mm + jitter (the profile command: A50 + 20 mm).
The true R80 never places it. A proximal window keeps the first L mm.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from protonqa.errors import InputError

Anchor = Literal["distal", "proximal"]

DISTAL_MARGIN_MM = 20.0
MAX_JITTER_MM = 10.0


def window_mask(
    depth_mm: Tensor,
    length_mm: Tensor,
    *,
    anchor: Anchor = "distal",
    distal_point_mm: Tensor | None = None,
    jitter_mm: Tensor | None = None,
) -> Tensor:
    """True for bins whose centre lies inside the window, both ends included.

    Parameters
    ----------
    depth_mm : (n_depth,)
    length_mm : (n_ray,) or (1,)
        Window length; infinite keeps the whole profile.
    anchor : "distal" or "proximal"
    distal_point_mm : (n_ray,) or (1,)
        Planned R80 (A50 for the profile command); needed for a distal window.
    jitter_mm : (n_ray,) or (1,) or None
        Shift of the distal end, drawn beforehand.

    Returns
    -------
    (n_ray or 1, n_depth) bool

    Raises
    ------
    InputError
        Length not positive, unknown anchor, distal window without a finite distal point.
    """
    if bool(torch.isnan(length_mm).any()) or bool((length_mm <= 0).any()):
        raise InputError("window length is not positive", expected="a length above 0 mm")
    depth = depth_mm[None, :]
    length = length_mm[:, None]
    whole = torch.isinf(length)
    if anchor == "proximal":
        return (depth <= length) | whole
    if anchor != "distal":
        raise InputError("unknown window anchor", got=repr(anchor), expected="distal or proximal")
    if bool(whole.all()):
        return (depth == depth) | whole
    if distal_point_mm is None or not bool(torch.isfinite(distal_point_mm).all()):
        raise InputError(
            "a distal window has no place",
            got="no planned R80 or A50 for some rays",
            expected="a finite depth in mm for each ray",
            remedy="give the planned R80, or use --window-anchor proximal",
        )
    end = distal_point_mm + DISTAL_MARGIN_MM
    if jitter_mm is not None:
        end = end + jitter_mm
    end = end[:, None]
    return ((depth <= end) & (depth >= end - length)) | whole
