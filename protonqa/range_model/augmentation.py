"""Apply drawn scenarios to training rays: nuclei made in, rays as a clinic would hand them over out."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protonqa.activity.combine import combine
from protonqa.activity.noise import SnrMode, add_counting_noise, add_snr_noise, noise_keys
from protonqa.activity.response import RANGE_CLASSES, SIGMA_PER_FWHM, gaussian_taps, positron_sigma_mm
from protonqa.activity.timeline import frame_factors
from protonqa.activity.washout import COMPONENTS, WashoutScenario, tissue_classes, tissue_index
from protonqa.errors import InputError
from protonqa.physics.nuclides import NUCLIDE_KEYS, decay_constants_per_s
from protonqa.range_model.dataset import RayTable, SetSchema
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
    activity = _noisy(_activity(table, rows, draw), draw).to(torch.float64) * torch.from_numpy(draw.gain)[:, None]
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
        wepl_spread=torch.from_numpy(table.wepl_spread_mm[rows]).to(torch.float64),
        spread_known=torch.from_numpy(draw.show_ct & draw.show_spread & _spread_stored(table, rows)),
    )


def _spread_stored(table: RayTable, rows: Rows) -> NDArray[np.bool_]:
    """Whether the set holds the spread of its neighbours for each ray: where not, it stands as zeros."""
    return np.asarray(table.wepl_spread_mm[rows].any(axis=1))


def _production(table: RayTable, rows: Rows, other_table: NDArray[np.float64]) -> Tensor:
    """Nuclei made with the table of cross sections that was drawn for each ray; (n, channel, 448)."""
    made = table.production[rows]
    names = [channel.name for channel in table.schema.channels]
    tables = table.schema.tables
    drawn = np.where(other_table < 0, -1, np.floor(other_table * len(tables))).astype(np.int64)
    for i, one in enumerate(table.schema.alternatives):
        there = np.flatnonzero(drawn == tables.index(one.table))
        made[there, names.index(one.channel)] = table.alternative[rows[there], i]
    return torch.from_numpy(made)


def _activity(table: RayTable, rows: Rows, draw: ScenarioDraw) -> Tensor:
    """Noise-free activity, (n, 448) float32: time line, decay, washout, blur.

    The same as `protonqa.activity.chain.apply_chain` ray by ray, but all rays at once whatever their washout model and
    resolution: a training draws a scenario for each ray, and groups of a few rays would cost more than the sums.
    """
    out = torch.zeros((rows.size, WORKING_BINS))
    gain = torch.from_numpy(draw.channel_gain.astype(np.float32))
    raw = np.flatnonzero(draw.raw)
    if raw.size:
        made = _production(table, rows[raw], draw.other_table[raw])
        out[torch.from_numpy(raw)] = torch.bmm(gain[torch.from_numpy(raw)][:, None], made)[:, 0]
    for blur in (False, True):
        chosen = np.flatnonzero(~draw.raw & ((draw.psf_fwhm_mm > 0) == blur))
        if chosen.size:
            there = torch.from_numpy(chosen)
            out[there] = _timed(table, rows[chosen], gain[there], draw, chosen, blur=blur)
    return out


def _timed(table: RayTable, rows: Rows, gain: Tensor, draw: ScenarioDraw, chosen: Rows, *, blur: bool) -> Tensor:
    """Activity after decay and washout, (n, 448); where `blur`, with positron range and PSF."""
    factors = _factors(draw, chosen).to(torch.float32)
    edges = tissue_classes()[1]
    level = torch.from_numpy(table.hu_true[rows])
    classes: list[slice] = [nuclides for nuclides, _ in RANGE_CLASSES] if blur else [slice(None)]
    parts = [torch.zeros((rows.size, WORKING_BINS)) for _ in classes]
    weighted = _production(table, rows, draw.other_table[chosen]) * gain[:, :, None]
    for hu, production in _by_tissue(table.schema, weighted):
        for part, nuclides in zip(parts, classes, strict=True):
            if hu is None:
                part += combine(production[nuclides], factors[..., nuclides], level, edges)
            else:
                here = factors[:, int(tissue_index(hu)), nuclides]
                part += torch.einsum("nk,knd->nd", here, production[nuclides])
    if not blur:
        return parts[0]
    psf_sigma = draw.psf_fwhm_mm[chosen] * SIGMA_PER_FWHM
    sigma = np.stack([np.hypot(psf_sigma, positron_sigma_mm(key)) for _, key in RANGE_CLASSES])
    return _blurred(torch.stack(parts), sigma).sum(dim=0)


def _factors(draw: ScenarioDraw, chosen: Rows) -> Tensor:
    """Decays, or Bq, per nucleus made, (n, n_tissue, 7) float64, whatever the washout model of each ray."""
    n_tissue = len(tissue_classes()[0])
    fractions = np.zeros((chosen.size, n_tissue, len(NUCLIDE_KEYS), len(COMPONENTS)))
    rates_per_s = np.zeros_like(fractions)
    names = draw.washout_name[chosen]
    for name in sorted(set(names.tolist())):
        mine = np.flatnonzero(names == name)
        fractions[mine], rates_per_s[mine] = _rows_of(draw.washout[name], chosen[mine]).parameters()
    times = torch.from_numpy(draw.times_s[chosen])
    return frame_factors(
        irradiation_s=times[:, 0],
        delay_s=times[:, 1],
        acquisition_s=times[:, 2],
        fractions=torch.from_numpy(fractions),
        rates_per_s=torch.from_numpy(rates_per_s),
        decay_per_s=torch.from_numpy(decay_constants_per_s()),
    )


def _blurred(pictures: Tensor, sigma_mm: NDArray[np.float64]) -> Tensor:
    """Each profile of (k, n, 448) with a Gaussian of its own width (k, n), nothing outside the profile.

    By Fourier transform, long enough that nothing wraps around: a kernel for each row is dear bin by bin.
    """
    taps = torch.from_numpy(gaussian_taps(sigma_mm.ravel())).to(pictures.dtype)
    reach = (taps.shape[1] - 1) // 2
    size = 64 * math.ceil((WORKING_BINS + reach) / 64)
    kernel = torch.fft.rfft(torch.roll(torch.nn.functional.pad(taps, (0, size - taps.shape[1])), -reach, dims=1))
    spectrum = torch.fft.rfft(pictures, n=size) * kernel.reshape(*pictures.shape[:2], -1)
    # Rounding would leave traces below zero where nothing was.
    return torch.as_tensor(torch.fft.irfft(spectrum, n=size)[..., :WORKING_BINS].clamp(min=0.0))


def _by_tissue(schema: SetSchema, production: Tensor) -> list[tuple[float | None, Tensor]]:
    """Production per nuclide, (7, n, 448), for each tissue class the channels were tallied in."""
    nuclide = schema.nuclide_index()
    tissues = [c.hu for c in schema.channels]
    weighted = production.transpose(0, 1)
    if tissues == [None] * len(NUCLIDE_KEYS) and np.array_equal(nuclide, np.arange(len(NUCLIDE_KEYS))):
        return [(None, weighted.contiguous())]
    parts = []
    for hu in dict.fromkeys(tissues):
        mine = [i for i, t in enumerate(tissues) if t == hu]
        summed = torch.zeros((len(NUCLIDE_KEYS), *weighted.shape[1:]))
        summed.index_add_(0, torch.from_numpy(nuclide[mine]), weighted[mine].contiguous())
        parts.append((hu, summed))
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
            counts = torch.from_numpy(draw.counts)[chosen]
            noisy = add_counting_noise(part, counts, keys[chosen], background_fraction=draw.background_fraction)
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
