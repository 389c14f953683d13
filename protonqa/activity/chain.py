"""The whole way from nuclei made to the activity that is seen, for profiles and volumes alike.

Order: time line, decay and washout in each bin with the tissue of that bin; sum over nuclides; positron range and PSF;
noise; smoothing; window. Washout comes before any blur or lateral sum. For a laterally integrated pencil-beam profile
the HU on the beam axis stand for the tissue at each depth; blurring along depth alone is exact for such a profile. For
rays of a beam's-eye view the blur across the rays is not in here: run a volume in beam's-eye coordinates for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from threading import Barrier
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protonqa.activity.combine import combine
from protonqa.activity.noise import SnrMode, add_counting_noise, add_snr_noise, noise_keys
from protonqa.activity.response import (
    RANGE_CLASSES,
    SIGMA_PER_FWHM,
    Edge,
    blurred_sum,
    gaussian_blur,
    positron_sigma_mm,
)
from protonqa.activity.scenario import ActivityScenario
from protonqa.activity.timeline import frame_factors, positron_share
from protonqa.activity.washout import tissue_classes, washout_model
from protonqa.activity.window import Anchor, window_mask
from protonqa.errors import InputError
from protonqa.physics.nuclides import NUCLIDE_KEYS, decay_constants_per_s

# Pieces that stay in the cache of a CPU core: rows of profiles, voxels of a volume.
_ROWS_CPU = 1024
_ROWS_GPU = 1 << 16
_VOXELS = 1 << 17


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChainResult:
    """Activity and where it may be used.

    Parameters
    ----------
    activity : (n_ray, n_depth) or (nz, ny, nx)
        Nuclei (raw), decays in the frame, or Bq, per unit of the production; 0 outside the window.
    mask : (n_ray, n_depth) bool, or None for a volume
    """

    activity: Tensor
    mask: Tensor | None


def apply_chain(
    production: Tensor,
    scenario: ActivityScenario,
    *,
    spacing_mm: Sequence[float],
    hu: Tensor | None = None,
    tissue: Tensor | None = None,
    depth_mm: Tensor | None = None,
    distal_point_mm: Tensor | None = None,
) -> ChainResult:
    """Activity of profiles or of a volume.

    Parameters
    ----------
    production : (7, n_ray, n_depth) or (7, nz, ny, nx), float32 or float64
        Nuclei made, in the order of ``NUCLIDE_KEYS``.
    scenario : ActivityScenario
        One row for all, or (profiles) a row for each ray.
    spacing_mm : (1,) or (3,)
        Bin width along depth, or voxel size along z, y, x.
    hu : (n_depth,), (n_ray, n_depth) or (nz, ny, nx), or None
        CT numbers; needed by tissue-dependent washout unless `tissue` is given.
    tissue : as `hu`, integer, or None
        Classes of ``washout.tissue_classes``, instead of `hu`.
    depth_mm : (n_depth,) or None
        Bin centres, used by the window; None is 0.5, 1.5, ... bins.
    distal_point_mm : (n_ray,) or (1,), or None
        Planned R80 (A50 for the profile command); needed by a distal window.

    Returns
    -------
    ChainResult
        On the device and in the dtype of `production`; no gradients are kept.

    Raises
    ------
    InputError
        Wrong shapes, tissue-dependent washout without tissue, window without a place, noise without activity.
    """
    _check(production, scenario, spacing_mm)
    level, edges = _tissue_level(production, scenario, hu, tissue)
    rows = _Rows(scenario, production)
    if production.dim() == 4:
        activity = _seen(production, rows, slice(0, 1), spacing_mm, level, edges)
        return ChainResult(activity=activity, mask=None)
    activity = torch.empty(production.shape[1:], dtype=production.dtype, device=production.device)

    def work(part: slice) -> None:
        part_level = None if level is None else level[part]
        activity[part] = _seen(production[:, part], rows, part, spacing_mm, part_level, edges)

    _for_all(work, list(_pieces(production.shape[1], _ROWS_GPU if production.is_cuda else _ROWS_CPU)))
    if np.isinf(scenario.window_length_mm).all():
        return ChainResult(activity=activity, mask=torch.ones_like(activity, dtype=torch.bool))
    if depth_mm is None:
        depth_mm = (torch.arange(activity.shape[1], dtype=torch.float64) + 0.5) * spacing_mm[0]
    mask = _window(activity, scenario, depth_mm, distal_point_mm)
    return ChainResult(activity=activity.mul_(mask), mask=mask)


class _Rows:
    """The scenario's numbers, cut to a range of rows and moved to the device when they are needed."""

    def __init__(self, scenario: ActivityScenario, production: Tensor) -> None:
        self.scenario = scenario
        self.device, self.dtype = production.device, production.dtype
        self.keys = noise_keys(scenario.noise_seed, production.shape[1] if production.dim() == 3 else 1)

    def tensor(self, array: NDArray[Any], rows: slice, dtype: torch.dtype | None = None) -> Tensor:
        cut = array[rows] if array.shape[0] > 1 else array
        return torch.tensor(cut, dtype=dtype or self.dtype, device=self.device)

    def factors(self, rows: slice) -> Tensor:
        """(n, n_tissue, 7) decays, Bq or nuclei per nucleus made."""
        scenario = self.scenario
        if scenario.raw:
            return torch.ones((1, 1, len(NUCLIDE_KEYS)), dtype=self.dtype, device=self.device)
        washout = scenario.washout if scenario.washout.n == 1 else scenario.washout.rows(rows.start, rows.stop)
        fractions, rates_per_s = washout.group_parameters()
        factors = frame_factors(
            irradiation_s=self.tensor(scenario.irradiation_s, rows, torch.float64),
            delay_s=self.tensor(scenario.delay_s, rows, torch.float64),
            acquisition_s=self.tensor(scenario.acquisition_s, rows, torch.float64),
            fractions=torch.from_numpy(fractions).to(self.device),
            rates_per_s=torch.from_numpy(rates_per_s).to(self.device),
            decay_per_s=torch.from_numpy(decay_constants_per_s()).to(self.device),
            group=torch.tensor(washout_model(washout.model).group, device=self.device),
        )
        if scenario.positrons:
            factors = factors * positron_share().to(self.device)
        return factors.to(self.dtype)


@torch.no_grad()
def _seen(
    production: Tensor,
    rows: _Rows,
    part: slice,
    spacing_mm: Sequence[float],
    level: Tensor | None,
    edges: tuple[float, ...],
) -> Tensor:
    """Activity with blur and noise of one piece of rows, or of a whole volume."""
    scenario = rows.scenario
    edge = cast(Edge, scenario.edge)
    factors = rows.factors(part)
    fwhm = scenario.psf_fwhm_mm[part] if scenario.n > 1 else scenario.psf_fwhm_mm[0]
    psf_sigma = fwhm * SIGMA_PER_FWHM
    if scenario.positron_range and production.dim() == 3 and np.ndim(psf_sigma) == 0:
        made = [_summed(production[nuclides], factors[..., nuclides], level, edges) for nuclides, _ in RANGE_CLASSES]
        widths = [float(np.hypot(psf_sigma, positron_sigma_mm(key))) for _, key in RANGE_CLASSES]
        picture = blurred_sum(made, widths, spacing_mm[0], edge=edge)
    elif scenario.positron_range:
        picture = torch.zeros(production.shape[1:], dtype=production.dtype, device=production.device)
        for nuclides, key in RANGE_CLASSES:
            one = _summed(production[nuclides], factors[..., nuclides], level, edges)
            picture += gaussian_blur(one, np.hypot(psf_sigma, positron_sigma_mm(key)), spacing_mm, edge=edge)
    else:
        picture = gaussian_blur(_summed(production, factors, level, edges), psf_sigma, spacing_mm, edge=edge)
    picture = _noisy(picture, rows, part)
    if scenario.smoothing_fwhm_mm > 0:
        picture = gaussian_blur(picture, scenario.smoothing_fwhm_mm * SIGMA_PER_FWHM, spacing_mm, edge=edge)
    return picture


def _summed(production: Tensor, factors: Tensor, level: Tensor | None, edges: tuple[float, ...]) -> Tensor:
    if production.dim() == 3:
        return combine(production, factors, level, edges)
    voxels = production.reshape(production.shape[0], 1, -1)
    flat_level = None if level is None else level.reshape(1, -1)
    out = torch.empty_like(voxels[0])
    for part in _pieces(out.shape[1], out.shape[1] if out.is_cuda else _VOXELS):
        part_level = None if flat_level is None else flat_level[:, part]
        out[:, part] = combine(voxels[:, :, part], factors, part_level, edges)
    return out.reshape(production.shape[1:])


def _noisy(picture: Tensor, rows: _Rows, part: slice) -> Tensor:
    scenario = rows.scenario
    if scenario.noise == "none":
        return picture
    keys = torch.from_numpy(rows.keys[part]).to(rows.device)
    flat = picture if picture.dim() == 2 else picture.reshape(1, -1)
    if scenario.noise == "poisson":
        counts = rows.tensor(scenario.counts, part)
        noisy = add_counting_noise(flat, counts, keys, background_fraction=scenario.background_fraction)
    else:
        mode = cast(SnrMode, scenario.noise.removeprefix("snr-"))
        noisy = add_snr_noise(flat, rows.tensor(scenario.snr, part), keys, mode=mode)
    return noisy.reshape(picture.shape)


def _window(activity: Tensor, scenario: ActivityScenario, depth_mm: Tensor, distal_point_mm: Tensor | None) -> Tensor:
    n_ray, n_depth = activity.shape

    def there(array: NDArray[np.float64]) -> Tensor:
        return torch.tensor(array, dtype=torch.float64, device=activity.device)

    if distal_point_mm is not None:
        if distal_point_mm.shape not in ((1,), (n_ray,)):
            raise InputError(
                "planned ranges do not match the rays", got=str(tuple(distal_point_mm.shape)), expected=f"({n_ray},)"
            )
        distal_point_mm = distal_point_mm.to(device=activity.device, dtype=torch.float64)
    mask = window_mask(
        depth_mm.to(device=activity.device, dtype=torch.float64),
        there(scenario.window_length_mm),
        anchor=cast(Anchor, scenario.window_anchor),
        distal_point_mm=distal_point_mm,
        jitter_mm=there(scenario.window_jitter_mm),
    )
    return mask.expand(n_ray, n_depth).contiguous()


def _for_all(work: Callable[[slice], None], parts: list[slice]) -> None:
    """Do all pieces, on as many threads as torch may use, each with torch single-threaded.

    One barrier at the end instead of one at each small operation: on a busy computer that is several times faster.
    """
    threads = min(torch.get_num_threads(), len(parts))
    if threads < 2:
        for part in parts:
            work(part)
        return
    for done in [_pool(threads).submit(work, part) for part in parts]:
        done.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that stay: each new one would build its own workspace for matrix products."""
    allowed = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    # Every thread is begun now, and what its beginning sets for all is set back.
    barrier = Barrier(threads + 1)
    for _ in range(threads):
        pool.submit(barrier.wait)
    barrier.wait()
    torch.set_num_threads(allowed)
    return pool


def _pieces(n: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, n)) for start in range(0, n, max(1, step)))


def _check(production: Tensor, scenario: ActivityScenario, spacing_mm: Sequence[float]) -> None:
    if production.dim() not in (3, 4) or production.shape[0] != len(NUCLIDE_KEYS) or production.numel() == 0:
        raise InputError(
            "nuclei made have the wrong shape",
            got=str(tuple(production.shape)),
            expected="(7, n_ray, n_depth) or (7, nz, ny, nx)",
        )
    if production.dtype not in (torch.float32, torch.float64):
        raise InputError("nuclei made have the wrong type", got=str(production.dtype), expected="float32 or float64")
    volume = production.dim() == 4
    if len(spacing_mm) != (3 if volume else 1) or min(spacing_mm) <= 0:
        raise InputError("bin widths do not fit the array", got=str(tuple(spacing_mm)), expected="one per space axis")
    allowed = (1,) if volume else (1, production.shape[1])
    if scenario.n not in allowed:
        raise InputError("scenario does not match the rows", got=f"{scenario.n} rows", expected=f"{allowed}")
    if volume and bool(np.isfinite(scenario.window_length_mm).any()):
        raise InputError("a depth window on a volume", remedy="sample profiles along the beam first")
    if scenario.noise.startswith("snr") and any(abs(s - 1.0) > 1e-6 for s in spacing_mm):
        raise InputError(
            "this noise model is defined on 1 mm bins", got=f"{tuple(spacing_mm)} mm", remedy="resample, or use counts"
        )


def _tissue_level(
    production: Tensor, scenario: ActivityScenario, hu: Tensor | None, tissue: Tensor | None
) -> tuple[Tensor | None, tuple[float, ...]]:
    """What decides the tissue of each bin, in the shape and type of the picture, and the steps between classes."""
    model = washout_model(scenario.washout.model)
    if not model.needs_tissue:
        return None, ()
    given = hu if tissue is None else tissue
    if given is None:
        raise InputError(
            f"washout model {model.name} depends on tissue",
            got="neither HU nor a tissue map",
            expected="HU along the profile or on the voxels",
            remedy="add the column hu, or choose mizuno-brain, mizuno-muscle or none",
        )
    try:
        level = given.to(device=production.device, dtype=production.dtype).expand(production.shape[1:])
    except RuntimeError as error:
        raise InputError(
            "tissue does not fit the activity", got=str(tuple(given.shape)), expected=str(tuple(production.shape[1:]))
        ) from error
    if not bool(torch.isfinite(level.sum())):
        raise InputError("HU beside the activity are not finite")
    edges = tissue_classes()[1] if tissue is None else tuple(float(c) for c in range(1, len(model.tissues)))
    return level, edges
