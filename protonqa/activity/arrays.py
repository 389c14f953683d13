"""NumPy in, NumPy out: the door for rooms that do not know torch.

Importing this module loads no torch; calling it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.activity.scenario import ActivityScenario
from protonqa.errors import DeviceError, InputError
from protonqa.physics.nuclides import NUCLIDE_KEYS
from protonqa.values import Grid
from protonqa.values._arrays import require_finite

if TYPE_CHECKING:
    import torch


def stack_nuclides(by_key: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
    """One array with the leading axis of 7 in the order of ``NUCLIDE_KEYS``.

    Raises
    ------
    InputError
        A nuclide is missing or unknown.
    """
    if set(by_key) != set(NUCLIDE_KEYS):
        raise InputError(
            "nuclides are missing or unknown", got=", ".join(sorted(by_key)) or "none", expected=", ".join(NUCLIDE_KEYS)
        )
    return np.stack([np.asarray(by_key[key], dtype=np.float64) for key in NUCLIDE_KEYS])


def profile_activity(
    production: ArrayLike,
    depth_mm: ArrayLike,
    scenario: ActivityScenario,
    *,
    hu: ArrayLike | None = None,
    distal_point_mm: ArrayLike | None = None,
    device: str = "cpu",
    single: bool = False,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Activity of depth profiles.

    Parameters
    ----------
    production : (7, n_ray, n_depth)
        Nuclei made.
    depth_mm : (n_depth,)
        Bin centres.
    scenario : ActivityScenario
    hu : (n_depth,) or (n_ray, n_depth), or None
    distal_point_mm : (n_ray,) or one number, or None
        Planned R80 (A50 for the profile command), for a distal window.
    device : str
        "cpu" or "cuda".
    single : bool
        Single precision, as in training: twice as fast; otherwise double.

    Returns
    -------
    activity : (n_ray, n_depth) float64 or float32
        0 outside the window.
    mask : (n_ray, n_depth) bool

    Raises
    ------
    InputError
        As `chain.apply_chain`; also NaN, and bins of unequal width where a blur or noise needs equal ones.
    DeviceError
        No such device.
    """
    from protonqa.activity.chain import apply_chain

    depth = np.asarray(depth_mm, dtype=np.float64)
    kind = np.float32 if single else np.float64
    made = np.asarray(production, dtype=kind)
    if made.ndim != 3 or made.shape[2:] != depth.shape:
        raise InputError("nuclei made do not fit the depths", got=str(made.shape), expected=f"(7, n_ray, {depth.size})")
    where = torch_device(device)
    point = None if distal_point_mm is None else np.atleast_1d(np.asarray(distal_point_mm, dtype=np.float64))
    result = apply_chain(
        _tensor(made, "nuclei made", where),
        scenario,
        spacing_mm=(_bin_width_mm(depth, scenario),),
        hu=None if hu is None else _tensor(np.asarray(hu, dtype=kind), "HU", where),
        depth_mm=_tensor(depth, "depth", where),
        distal_point_mm=None if point is None else _tensor(point, "planned range", where),
    )
    mask: NDArray[np.bool_] = np.ones(made.shape[1:], dtype=bool)
    if result.mask is not None:
        mask = result.mask.cpu().numpy()
    return result.activity.cpu().numpy(), mask


def volume_activity(
    production: NDArray[Any],
    grid: Grid,
    scenario: ActivityScenario,
    *,
    hu: NDArray[Any] | None = None,
    device: str = "cpu",
) -> NDArray[np.float32]:
    """Activity of a voxel volume, in single precision: per voxel, in the unit the time line gives.

    Parameters
    ----------
    production : (7, nz, ny, nx)
        Nuclei made per voxel.
    grid : Grid
        Its voxels.
    scenario : ActivityScenario
        One row, no window.
    hu : (nz, ny, nx) or None
    device : str
        "cpu" or "cuda".

    Returns
    -------
    (nz, ny, nx) float32

    Raises
    ------
    InputError, DeviceError
        As `profile_activity`.
    """
    from protonqa.activity.chain import apply_chain

    made = np.asarray(production, dtype=np.float32)
    if made.shape[1:] != grid.shape:
        raise InputError("nuclei made do not fit the grid", got=str(made.shape), expected=f"(7, {grid.shape})")
    where = torch_device(device)
    sx, sy, sz = grid.spacing_mm
    result = apply_chain(
        _tensor(made, "nuclei made", where),
        scenario,
        spacing_mm=(sz, sy, sx),
        hu=None if hu is None else _tensor(np.asarray(hu, dtype=np.float32), "HU", where),
    )
    out: NDArray[np.float32] = result.activity.cpu().numpy()
    return out


def bq_per_ml(activity: NDArray[Any], acquisition_s: float, voxel_ml: float) -> NDArray[np.float32]:
    """Mean activity concentration over the frame, without decay correction.

    Parameters
    ----------
    activity : (nz, ny, nx)
        Decays in the frame per voxel (Bq where `acquisition_s` is 0).
    acquisition_s : float
    voxel_ml : float
    """
    if acquisition_s < 0 or voxel_ml <= 0:
        raise InputError("frame or voxel is not usable", got=f"{acquisition_s} s, {voxel_ml} ml")
    return np.asarray(activity / ((acquisition_s or 1.0) * voxel_ml), dtype=np.float32)


def torch_device(name: str) -> torch.device:
    """The torch device of that name; never another one in its place.

    Raises
    ------
    DeviceError
        Not "cpu" or "cuda", or no usable CUDA device.
    """
    import torch

    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise DeviceError("unknown device", got=repr(name), expected="cpu or cuda")
    if kind == "cuda" and not torch.cuda.is_available():
        raise DeviceError("no CUDA device is usable", got=repr(name), remedy="use --device cpu or auto")
    return torch.device(name)


def _bin_width_mm(depth_mm: NDArray[np.float64], scenario: ActivityScenario) -> float:
    steps = np.diff(depth_mm)
    if depth_mm.ndim != 1 or steps.size == 0 or not np.all(steps > 0):
        raise InputError("depths of a profile do not increase", expected="at least two increasing depths in mm")
    width = float(steps.mean())
    even = bool(np.all(np.abs(steps - width) <= 1e-3 * width))
    blurs = scenario.positron_range or bool(scenario.psf_fwhm_mm.any()) or scenario.smoothing_fwhm_mm > 0
    if not even and (blurs or scenario.noise != "none"):
        raise InputError(
            "bins of the profile are not of equal width",
            got=f"{steps.min():.4g} to {steps.max():.4g} mm",
            expected="equal bins, as blur and noise need them",
        )
    return width


def _tensor(array: NDArray[Any], name: str, device: torch.device) -> torch.Tensor:
    """The array on the device; NaN refused. Read-only arrays are copied, as torch wants."""
    import torch

    require_finite(array, name)
    return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(device)
