"""What happens to a training ray between beam and picture, and what the model is told: drawn first, applied second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from protonqa.activity.washout import WashoutScenario, draw_washout, washout_names
from protonqa.physics.nuclides import NUCLIDE_KEYS
from protonqa.range_model.config import Settings

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Share = Field(ge=0.0, le=1.0)
Span = tuple[float, float]

#: Names and order of the noise kinds, with SNR on 1 mm bins.
NOISE_KINDS: tuple[str, ...] = ("none", "snr-multiplicative", "snr-additive", "poisson")


class ScenarioConfig(Settings):
    """From what scenarios are drawn. Spans are (low, high); a span of one value fixes it.

    ``clean_share`` of the rays are nuclei made without noise and with the nominal cross sections and stopping powers;
    windows and what is told are drawn for them too. The other numbers speak of the rest.
    ``raw_share`` of the rays are nuclei made, without time, washout or blur; of the others ``instant_share`` are
    activity at one moment after an instantaneous irradiation, the rest decays in a frame. ``window_end_mm`` counts from
    the planned R80: its span is wide so that the end of the window tells nothing about the range.
    """

    clean_share: float = Field(0.0, ge=0.0, le=1.0)
    raw_share: float = Field(0.2, ge=0.0, le=1.0)
    instant_share: float = Field(0.25, ge=0.0, le=1.0)
    washout: dict[str, float] = Field(default_factory=lambda: dict.fromkeys(washout_names(), 1.0))
    washout_spread: float = Field(0.5, ge=0.0, lt=1.0)
    irradiation_s: Span = (10.0, 180.0)
    delay_s: Span = (0.0, 1500.0)
    acquisition_s: Span = (30.0, 1800.0)
    psf_share: float = Field(0.7, ge=0.0, le=1.0)
    psf_fwhm_mm: Span = (1.0, 7.0)
    noise: dict[str, float] = Field(
        default_factory=lambda: {"none": 0.35, "snr-multiplicative": 0.15, "snr-additive": 0.1, "poisson": 0.4}
    )
    snr: Span = (3.0, 20.0)
    counts: Span = (500.0, 3e5)
    background_fraction: float = Field(0.10, ge=0.0, le=10.0)
    voxel_share: float = Field(0.3, ge=0.0, le=1.0)
    voxel_mm: Span = (1.5, 4.5)
    window_share: float = Field(0.5, ge=0.0, le=1.0)
    window_length_mm: Span = (80.0, 200.0)
    window_end_mm: Span = (8.0, 60.0)
    window_cuts_ct_share: float = Field(0.4, ge=0.0, le=1.0)
    no_ct_share: float = Field(0.25, ge=0.0, le=1.0)
    #: Of the rays with a CT: those whose neighbours are not told about, as on a profile without a volume.
    no_spread_share: float = Field(0.3, ge=0.0, le=1.0)
    no_timeline_share: float = Field(0.3, ge=0.0, le=1.0)
    no_psf_share: float = Field(0.4, ge=0.0, le=1.0)
    rsp_error_percent: float = Field(3.5, ge=0.0, le=50.0)
    #: Largest error of the cross sections; drawn for each ray between the two where the least is given.
    production_error_percent: float = Field(20.0, ge=0.0, lt=100.0)
    production_error_least_percent: float | None = Field(None, ge=0.0, lt=100.0)
    #: Share of rays that follow another table of cross sections, where the set holds one.
    other_table_share: float = Field(0.5, ge=0.0, le=1.0)
    gain_decades: float = Field(3.0, ge=0.0, le=12.0)

    @model_validator(mode="after")
    def _check(self) -> ScenarioConfig:
        for name, known in (("washout", washout_names()), ("noise", NOISE_KINDS)):
            weights: dict[str, float] = getattr(self, name)
            unknown = sorted(set(weights) - set(known))
            if unknown or min(weights.values(), default=-1.0) < 0 or sum(weights.values()) <= 0:
                raise ValueError(f"{name} needs weights of 0 or more for some of {known}, got {weights}")
        least = self.production_error_least_percent
        if least is not None and least > self.production_error_percent:
            raise ValueError("production_error_least_percent is above production_error_percent")
        for name in ("irradiation_s", "delay_s", "acquisition_s", "psf_fwhm_mm", "window_end_mm"):
            low, high = getattr(self, name)
            if not 0 <= low <= high < float("inf"):
                raise ValueError(f"{name} is not a span of 0 or more")
        for name in ("snr", "counts", "voxel_mm", "window_length_mm"):
            low, high = getattr(self, name)
            if not 0 < low <= high < float("inf"):
                raise ValueError(f"{name} is not a span above 0")
        return self


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScenarioDraw:
    """One drawn scenario per ray; arrays (n,) unless stated. ``apply_scenarios`` needs nothing else.

    Parameters
    ----------
    raw : bool
        Nuclei made: no time line, no washout, no blur.
    washout : mapping of model name to scenario rows
        Factors of every model for every ray; `washout_name` says which model counts.
    times_s : (n, 3)
        Irradiation, delay, acquisition.
    psf_fwhm_mm
        0 where there is no blur; positron range goes with the PSF.
    voxel_mm, voxel_phase
        Depth sampling of the scanner; 0 is none.
    window_start_mm, window_end_mm
        Relative to the planned R80; infinite is open.
    show_* : bool
        What the model is told.
    rsp_factor
        Planning RSP over true RSP.
    channel_gain : (n, n_channel)
        Cross-section error of each production channel.
    other_table
        Which other table of cross sections: a number in [0, 1) that picks one of those of the set, -1 its own.
    """

    raw: Flags
    washout_name: NDArray[np.str_]
    washout: dict[str, WashoutScenario]
    times_s: Floats
    psf_fwhm_mm: Floats
    noise: NDArray[np.str_]
    snr: Floats
    counts: Floats
    background_fraction: float
    noise_seed: NDArray[np.int64]
    voxel_mm: Floats
    voxel_phase: Floats
    window_start_mm: Floats
    window_end_mm: Floats
    window_cuts_ct: Flags
    show_ct: Flags
    show_timeline: Flags
    show_psf: Flags
    show_spread: Flags
    rsp_factor: Floats
    channel_gain: Floats
    other_table: Floats
    gain: Floats

    def __len__(self) -> int:
        return int(self.raw.size)


def draw_scenarios(
    config: ScenarioConfig, rng: np.random.Generator, n: int, *, n_channel: int = len(NUCLIDE_KEYS)
) -> ScenarioDraw:
    """Draw `n` scenarios; the same generator state gives the same scenarios."""

    def share(p: float) -> Flags:
        return np.asarray(rng.random(n) < p)

    def choice(weights: dict[str, float]) -> NDArray[np.str_]:
        names = sorted(weights)
        p = np.array([weights[k] for k in names])
        return np.asarray(rng.choice(np.array(names), n, p=p / p.sum()))

    clean = share(config.clean_share) if config.clean_share > 0 else np.zeros(n, dtype=bool)
    raw = share(config.raw_share) | clean
    instant = share(config.instant_share) & ~raw
    # Squared: short delays matter most and most rays have them.
    delay = config.delay_s[0] + np.ptp(config.delay_s) * rng.random(n) ** 2
    times = np.stack([rng.uniform(*config.irradiation_s, n), delay, rng.uniform(*config.acquisition_s, n)], axis=1)
    times[instant, 0] = times[instant, 2] = 0.0
    times[raw] = 0.0
    psf = np.where(share(config.psf_share) & ~raw, rng.uniform(*config.psf_fwhm_mm, n), 0.0)
    voxel = np.where(share(config.voxel_share) & ~raw, rng.uniform(*config.voxel_mm, n), 0.0)
    windowed = share(config.window_share)
    end = np.where(windowed, rng.uniform(*config.window_end_mm, n), np.inf)
    start = np.where(windowed, end - rng.uniform(*config.window_length_mm, n), -np.inf)
    return ScenarioDraw(
        raw=raw,
        washout_name=choice(config.washout),
        washout={
            name: draw_washout(name, rng, n=n, spread=config.washout_spread)
            for name in sorted(config.washout)
            if config.washout[name] > 0
        },
        times_s=times,
        psf_fwhm_mm=psf,
        noise=np.where(clean, "none", choice(config.noise)),
        snr=_log_uniform(rng, config.snr, n),
        counts=_log_uniform(rng, config.counts, n),
        background_fraction=config.background_fraction,
        noise_seed=rng.integers(0, 2**62, n),
        voxel_mm=voxel,
        voxel_phase=rng.random(n),
        window_start_mm=start,
        window_end_mm=end,
        window_cuts_ct=share(config.window_cuts_ct_share),
        show_ct=~share(config.no_ct_share),
        show_timeline=~share(config.no_timeline_share),
        show_psf=~share(config.no_psf_share),
        show_spread=~share(config.no_spread_share),
        rsp_factor=1.0 + rng.uniform(-1.0, 1.0, n) * ~clean * config.rsp_error_percent / 100.0,
        channel_gain=1.0
        + rng.uniform(-1.0, 1.0, (n, n_channel)) * np.where(clean, 0.0, _error(config, rng, n))[:, None],
        other_table=np.where(share(config.other_table_share) & ~clean, rng.random(n), -1.0),
        gain=10.0 ** (rng.uniform(-1.0, 1.0, n) * config.gain_decades),
    )


def _error(config: ScenarioConfig, rng: np.random.Generator, n: int) -> Floats:
    """Largest relative error of the cross sections of each ray."""
    most = config.production_error_percent
    least = most if config.production_error_least_percent is None else config.production_error_least_percent
    return np.asarray(rng.uniform(least, most, n) / 100.0)


def _log_uniform(rng: np.random.Generator, span: Span, n: int) -> Floats:
    return np.exp(rng.uniform(np.log(span[0]), np.log(span[1]), n))


def _clean(**changes: object) -> ScenarioConfig:
    """Nuclei made, noise-free, whole profile, CT and time line told: what each named scenario starts from."""
    base: dict[str, object] = {
        "clean_share": 0.0,
        "raw_share": 1.0,
        "psf_share": 0.0,
        "noise": {"none": 1.0},
        "voxel_share": 0.0,
        "window_share": 0.0,
        "no_ct_share": 0.0,
        "no_spread_share": 0.0,
        "no_timeline_share": 0.0,
        "no_psf_share": 0.0,
        "rsp_error_percent": 0.0,
        "production_error_percent": 0.0,
        "production_error_least_percent": None,
        "other_table_share": 0.0,
        "gain_decades": 0.0,
    }
    return ScenarioConfig.model_validate({**base, **changes})


#: 5 minutes after an instantaneous irradiation; washout drawn from every model that washes out.
_WASHOUT_5MIN: dict[str, object] = {
    "raw_share": 0.0,
    "instant_share": 1.0,
    "delay_s": (300.0, 300.0),
    "washout": {name: 1.0 for name in washout_names() if name != "none"},
}


def _window(length_mm: float) -> dict[str, object]:
    return {"window_share": 1.0, "window_length_mm": (length_mm, length_mm), "window_end_mm": (10.0, 30.0)}


#: The rows of the published study and those a clinic cares for, as the definitions word them.
NAMED_SCENARIOS: dict[str, ScenarioConfig] = {
    "raw": _clean(),
    "raw, cross sections +-20 %": _clean(production_error_percent=20.0, other_table_share=0.5),
    "SNR 4 multiplicative": _clean(noise={"snr-multiplicative": 1.0}, snr=(4.0, 4.0)),
    "SNR 4 additive": _clean(noise={"snr-additive": 1.0}, snr=(4.0, 4.0)),
    "washout 5 min": _clean(**_WASHOUT_5MIN),
    "100 mm": _clean(**_window(100.0)),
    "125 mm": _clean(**_window(125.0)),
    "150 mm": _clean(**_window(150.0)),
    "125 mm + 5 min": _clean(**_WASHOUT_5MIN, **_window(125.0)),
    "realistic ray": _clean(
        **{
            **_WASHOUT_5MIN,
            "instant_share": 0.0,
            "irradiation_s": (60.0, 120.0),
            "delay_s": (60.0, 300.0),
            "acquisition_s": (300.0, 1200.0),
            "psf_share": 1.0,
            "psf_fwhm_mm": (5.0, 5.0),
            "noise": {"poisson": 1.0},
            "counts": (9000.0, 9000.0),
            "rsp_error_percent": 3.5,
            "production_error_percent": 20.0,
            "other_table_share": 0.5,
        }
    ),
    "no CT, raw": _clean(no_ct_share=1.0),
}

#: Scenarios whose rows score only rays deeper than the window is long.
WINDOW_ROWS_MM: dict[str, float] = {"100 mm": 100.0, "125 mm": 125.0, "150 mm": 150.0, "125 mm + 5 min": 125.0}
