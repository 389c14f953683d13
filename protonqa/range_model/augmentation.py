"""Apply drawn scenarios to training rays: nuclei made in, rays as a clinic would hand them over out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protonqa.activity.chain import apply_chain
from protonqa.activity.noise import SnrMode, add_counting_noise, add_snr_noise, noise_keys
from protonqa.activity.scenario import ActivityScenario
from protonqa.activity.washout import WashoutScenario
from protonqa.errors import InputError
from protonqa.physics.nuclides import NUCLIDE_KEYS
from protonqa.range_model.dataset import RayTable
from protonqa.range_model.features import at_positions, cumulative
from protonqa.range_model.rays import RAW_ACQUISITION_S, WORKING_BINS, RayBatch
from protonqa.range_model.scenarios import ScenarioDraw

Rows = NDArray[np.int64]


def apply_scenarios(table: RayTable, rows: Rows, draw: ScenarioDraw) -> RayBatch:
    """Rays `rows` of `table` under the scenarios of `draw`, a scenario a ray.

    Raises
    ------
    InputError
        Numbers of rays or channels that do not match.
    """
    if len(draw) != rows.size or draw.channel_gain.shape[1] != table.production.shape[1]:
        raise InputError(
            "scenarios do not match the rays",
            got=f"{len(draw)} scenarios of {draw.channel_gain.shape[1]} channels",
            expected=f"{rows.size} of {table.production.shape[1]}",
        )
    activity = _activity(table, rows, draw)
    activity = _noisy(activity, draw) * torch.from_numpy(draw.gain)[:, None]
    activity = _sampled(activity, torch.from_numpy(draw.voxel_mm), torch.from_numpy(draw.voxel_phase))
    usable = _window(table.planned_r80_mm[rows], draw)
    rsp_known = torch.from_numpy(draw.show_ct)[:, None] & (usable | ~torch.from_numpy(draw.window_cuts_ct)[:, None])
    rsp = torch.from_numpy(table.rsp[rows]).to(torch.float64) * torch.from_numpy(draw.rsp_factor)[:, None]
    times = draw.times_s.copy()
    times[draw.raw, 2] = RAW_ACQUISITION_S
    shown = torch.from_numpy(draw.show_timeline)
    psf_shown = torch.from_numpy(draw.show_psf)
    zero = torch.zeros((), dtype=torch.float64)
    return RayBatch(
        activity=torch.where(usable, activity, zero),
        usable=usable,
        rsp=torch.where(rsp_known, rsp, zero),
        rsp_known=rsp_known,
        times_s=torch.where(shown[:, None], torch.from_numpy(times), zero),
        times_known=shown,
        psf_mm=torch.where(psf_shown, torch.from_numpy(draw.psf_fwhm_mm), zero),
        psf_known=psf_shown,
    )


def _activity(table: RayTable, rows: Rows, draw: ScenarioDraw) -> Tensor:
    """Noise-free activity, (n, 448) float64: time line, decay, washout, blur; rays grouped by what they share."""
    out = torch.zeros((rows.size, WORKING_BINS), dtype=torch.float64)
    blurred = draw.psf_fwhm_mm > 0
    kinds = np.where(draw.raw, "raw", draw.washout_name)
    for kind in sorted(set(kinds.tolist())):
        for blur in (False, True):
            chosen = np.flatnonzero((kinds == kind) & (blurred == blur))
            if chosen.size:
                out[torch.from_numpy(chosen)] = _group(table, rows, draw, chosen, raw=kind == "raw", blur=blur)
    return out


def _group(table: RayTable, rows: Rows, draw: ScenarioDraw, chosen: Rows, *, raw: bool, blur: bool) -> Tensor:
    washout = WashoutScenario() if raw else _rows_of(draw.washout[str(draw.washout_name[chosen[0]])], chosen)
    times = draw.times_s[chosen]
    scenario = ActivityScenario(
        irradiation_s=times[:, 0],
        delay_s=times[:, 1],
        acquisition_s=times[:, 2],
        raw=raw,
        washout=washout,
        positron_range=blur,
        psf_fwhm_mm=draw.psf_fwhm_mm[chosen],
        edge="open",
    )
    hu_true = torch.from_numpy(table.hu_true[rows[chosen]])
    total = torch.zeros((chosen.size, WORKING_BINS), dtype=torch.float64)
    for hu, production in _by_tissue(table, rows[chosen], draw.channel_gain[chosen]):
        level = hu_true if hu is None else torch.full_like(hu_true, hu)
        total += apply_chain(production, scenario, spacing_mm=(1.0,), hu=level).activity.to(torch.float64)
    return total


def _by_tissue(table: RayTable, rows: Rows, gain: NDArray[np.float64]) -> list[tuple[float | None, Tensor]]:
    """Production per nuclide, (7, n, 448), for each tissue class the channels were tallied in."""
    nuclide = table.schema.nuclide_index()
    tissues = [c.hu for c in table.schema.channels]
    weighted = torch.from_numpy(table.production[rows]) * torch.from_numpy(gain.astype(np.float32))[:, :, None]
    parts = []
    for hu in dict.fromkeys(tissues):
        mine = [i for i, t in enumerate(tissues) if t == hu]
        production = torch.zeros((len(NUCLIDE_KEYS), rows.size, WORKING_BINS))
        production.index_add_(0, torch.from_numpy(nuclide[mine]), weighted[:, mine].transpose(0, 1).contiguous())
        parts.append((hu, production))
    return parts


def _noisy(activity: Tensor, draw: ScenarioDraw) -> Tensor:
    out = activity.clone()
    keys = torch.from_numpy(noise_keys(draw.noise_seed, len(draw)))
    bright = (activity.sum(dim=1) > 0).numpy()
    for kind in ("poisson", "snr-multiplicative", "snr-additive"):
        chosen = torch.from_numpy(np.flatnonzero((draw.noise == kind) & bright))
        if chosen.numel() == 0:
            continue
        part = activity[chosen]
        if kind == "poisson":
            # The blur leaves rounding of the order of 1e-9 of the maximum below zero.
            counts = torch.from_numpy(draw.counts)[chosen]
            noisy = add_counting_noise(
                part.clamp(min=0.0), counts, keys[chosen], background_fraction=draw.background_fraction
            )
        else:
            snr = torch.from_numpy(draw.snr)[chosen]
            mode: SnrMode = "multiplicative" if kind == "snr-multiplicative" else "additive"
            noisy = add_snr_noise(part, snr, keys[chosen], mode=mode)
        out[chosen] = noisy
    return out


def _sampled(activity: Tensor, voxel_mm: Tensor, phase: Tensor) -> Tensor:
    """Activity averaged over voxels and read between their centres by straight lines, where `voxel_mm` > 0."""
    chosen = torch.nonzero(voxel_mm > 0)[:, 0]
    if chosen.numel() == 0:
        return activity
    size, shift = voxel_mm[chosen, None], phase[chosen, None]
    count = int(np.ceil(WORKING_BINS / float(size.min()))) + 2
    edges = (torch.arange(count + 1, dtype=torch.float64)[None] - shift) * size
    integral = cumulative(activity[chosen])[:, None]
    mean = at_positions(integral, edges)[:, 0].diff(dim=1) / size
    centre = torch.arange(WORKING_BINS, dtype=torch.float64)[None] + 0.5
    place = (centre / size + shift - 0.5).clamp(0.0, count - 1.0)
    left = place.floor().clamp(max=count - 2).long()
    low, high = mean.gather(1, left), mean.gather(1, left + 1)
    out = activity.clone()
    out[chosen] = low + (place - left) * (high - low)
    return out


def _window(planned_r80_mm: NDArray[np.float64], draw: ScenarioDraw) -> Tensor:
    centre = np.arange(WORKING_BINS) + 0.5
    start = planned_r80_mm + draw.window_start_mm
    end = planned_r80_mm + draw.window_end_mm
    return torch.from_numpy((centre[None] >= start[:, None]) & (centre[None] <= end[:, None]))


def _rows_of(washout: WashoutScenario, rows: Rows) -> WashoutScenario:
    fractions, half_lives = washout.fraction_factors, washout.half_life_factors
    if fractions is None or half_lives is None:
        raise InputError("washout scenario holds no factors")
    return WashoutScenario(model=washout.model, fraction_factors=fractions[rows], half_life_factors=half_lives[rows])
