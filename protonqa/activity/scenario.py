"""What happened between the beam and the picture: drawn first, stored, applied second.

An `ActivityScenario` holds one row a case, or one row for all cases. It is plain numbers: it loads no torch, goes to
JSON and back, and with its own noise seed each row can be computed again alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protonqa.activity.washout import NO_WASHOUT, WashoutScenario, draw_washout, washout_findings
from protonqa.errors import InputError
from protonqa.values import Finding, Severity, Timeline
from protonqa.values._arrays import frozen_array

CHOICES: dict[str, tuple[str, ...]] = {
    "edge": ("reflect", "open"),
    "noise": ("none", "poisson", "snr-multiplicative", "snr-additive"),
    "window_anchor": ("distal", "proximal"),
}
_FLAGS = ("raw", "positrons", "positron_range")
_SINGLE = ("background_fraction", "smoothing_fwhm_mm")
_MAY_BE_ZERO = ("irradiation_s", "delay_s", "acquisition_s", "psf_fwhm_mm")
_ABOVE_ZERO = ("counts", "snr", "window_length_mm")
_ROWS = (*_MAY_BE_ZERO, *_ABOVE_ZERO, "window_jitter_mm")


def _zero() -> NDArray[np.float64]:
    return np.zeros(1)


def _many_counts() -> NDArray[np.float64]:
    return np.full(1, 1e5)


def _snr_4() -> NDArray[np.float64]:
    return np.full(1, 4.0)


def _whole() -> NDArray[np.float64]:
    return np.full(1, np.inf)


def _seed_0() -> NDArray[np.int64]:
    return np.zeros(1, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ActivityScenario:
    """Everything `apply_chain` does to nuclei made. Arrays are (n,); arrays of one number serve all n rows.

    Parameters
    ----------
    irradiation_s, delay_s, acquisition_s : (n,)
        Time line; ``acquisition_s`` 0 gives activity (Bq), above 0 decays in the frame.
    raw : bool
        No time line at all: nuclei made, summed over nuclides. Washout must then be ``none``.
    washout : WashoutScenario
    positrons : bool
        Positrons instead of decays (0.1 to 0.5 % fewer), which is what a PET sees.
    positron_range : bool
        Blur by the positron range in water.
    psf_fwhm_mm : (n,)
        Scanner resolution; 0 is none.
    edge : "reflect" or "open"
        Outside the picture lies its mirror image (sum conserved) or nothing (a profile that begins at the skin).
    noise : "none", "poisson", "snr-multiplicative" or "snr-additive"
    counts : (n,)
        Detected true coincidences in a profile, or in the whole volume, for "poisson".
    background_fraction : float
        Uniform background beside `counts`; its mean is taken off again.
    snr : (n,)
        For the two Gaussian models, which are defined on 1 mm bins.
    smoothing_fwhm_mm : float
        Gaussian smoothing of the noisy picture.
    window_length_mm : (n,)
        Depth window; infinite is the whole profile.
    window_anchor : "distal" or "proximal"
    window_jitter_mm : (n,)
        Drawn shift of the distal end.
    noise_seed : (n,) int
        A seed for each row, so that a row can be drawn again alone.

    Raises
    ------
    InputError
        A number out of range, arrays of different lengths, one noise seed for several rows.
    """

    irradiation_s: NDArray[np.float64] = field(default_factory=_zero)
    delay_s: NDArray[np.float64] = field(default_factory=_zero)
    acquisition_s: NDArray[np.float64] = field(default_factory=_zero)
    raw: bool = False
    washout: WashoutScenario = field(default_factory=WashoutScenario)
    positrons: bool = False
    positron_range: bool = False
    psf_fwhm_mm: NDArray[np.float64] = field(default_factory=_zero)
    edge: str = "reflect"
    noise: str = "none"
    counts: NDArray[np.float64] = field(default_factory=_many_counts)
    background_fraction: float = 0.10
    snr: NDArray[np.float64] = field(default_factory=_snr_4)
    smoothing_fwhm_mm: float = 0.0
    window_length_mm: NDArray[np.float64] = field(default_factory=_whole)
    window_anchor: str = "distal"
    window_jitter_mm: NDArray[np.float64] = field(default_factory=_zero)
    noise_seed: NDArray[np.int64] = field(default_factory=_seed_0)

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InputError(
                    f"unknown {name.replace('_', ' ')}", got=repr(getattr(self, name)), expected=", ".join(allowed)
                )
        if self.raw:
            self._check_raw()
        n = max([self.washout.n, *(np.size(getattr(self, name)) for name in _ROWS)])
        for name in _ROWS:
            object.__setattr__(self, name, _checked_rows(getattr(self, name), name, n))
        if self.washout.n not in (1, n):
            raise InputError("washout draws do not match the rows", got=str(self.washout.n), expected=f"1 or {n}")
        seeds = np.atleast_1d(np.asarray(self.noise_seed, dtype=np.int64))
        if seeds.shape != (n,) and (self.noise != "none" or seeds.shape != (1,)):
            raise InputError("each row needs its own noise seed", got=str(seeds.size), expected=str(n))
        object.__setattr__(self, "noise_seed", frozen_array(seeds, "noise seed", dtype=np.int64))
        for name in _SINGLE:
            value = float(getattr(self, name))
            if not np.isfinite(value) or value < 0:
                raise InputError(f"{name} is out of range", got=str(value), expected="0 or more")

    def _check_raw(self) -> None:
        timed = any(
            np.any(np.asarray(getattr(self, name)) > 0) for name in ("irradiation_s", "delay_s", "acquisition_s")
        )
        if timed or self.positrons or self.washout.model != NO_WASHOUT:
            raise InputError("raw activity has no time line, washout or decays", remedy="leave them out, or raw")

    @property
    def n(self) -> int:
        """Number of rows; 1 serves any number of profiles."""
        return int(self.delay_s.size)

    def row(self, i: int) -> ActivityScenario:
        """Row `i` alone."""
        values: dict[str, Any] = {name: getattr(self, name)[i : i + 1] for name in _ROWS}
        for name in (*_FLAGS, *_SINGLE, *CHOICES):
            values[name] = getattr(self, name)
        seeds = self.noise_seed if self.noise_seed.size == 1 else self.noise_seed[i : i + 1]
        washout = self.washout if self.washout.n == 1 else self.washout.rows(i, i + 1)
        return ActivityScenario(**values, washout=washout, noise_seed=seeds)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, lists and text; an infinite length becomes None."""
        out: dict[str, Any] = {name: getattr(self, name) for name in (*_FLAGS, *_SINGLE, *CHOICES)}
        for name in _ROWS:
            out[name] = [None if np.isinf(v) else v for v in getattr(self, name).tolist()]
        out["noise_seed"] = self.noise_seed.tolist()
        out["washout"] = {
            "model": self.washout.model,
            "fraction_factors": np.asarray(self.washout.fraction_factors).tolist(),
            "half_life_factors": np.asarray(self.washout.half_life_factors).tolist(),
        }
        return out

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> ActivityScenario:
        """The scenario that `to_json` wrote."""
        values = dict(stored)
        for name in _ROWS:
            values[name] = np.array([np.inf if v is None else v for v in stored[name]], dtype=np.float64)
        values["noise_seed"] = np.array(stored["noise_seed"], dtype=np.int64)
        washout = stored["washout"]
        values["washout"] = WashoutScenario(
            model=washout["model"],
            fraction_factors=np.array(washout["fraction_factors"], dtype=np.float64),
            half_life_factors=np.array(washout["half_life_factors"], dtype=np.float64),
        )
        return cls(**values)


def _checked_rows(value: Any, name: str, n: int) -> NDArray[np.float64]:
    array = np.atleast_1d(np.asarray(value, dtype=np.float64))
    if array.shape not in ((1,), (n,)):
        raise InputError(f"{name} does not match the rows", got=str(array.shape), expected=f"1 or {n} numbers")
    bad = np.isnan(array) | (np.isinf(array) & (name != "window_length_mm"))
    if name in _MAY_BE_ZERO:
        bad |= array < 0
    elif name in _ABOVE_ZERO:
        bad |= array <= 0
    if bad.any():
        floor = "above 0" if name in _ABOVE_ZERO else "0 or more" if name in _MAY_BE_ZERO else "finite"
        raise InputError(f"{name} is out of range", got=str(array[bad][0]), expected=floor)
    full = np.array(np.broadcast_to(array, (n,)))
    full.setflags(write=False)
    return full


def activity_scenario(
    timeline: Timeline | None,
    *,
    washout: str | WashoutScenario = NO_WASHOUT,
    positrons: bool = False,
    positron_range: bool = False,
    psf_fwhm_mm: float = 0.0,
    edge: str = "reflect",
    noise: str | None = None,
    counts: float | None = None,
    background_fraction: float = 0.10,
    snr: float = 4.0,
    smoothing_fwhm_mm: float = 0.0,
    window_length_mm: float | None = None,
    window_anchor: str = "distal",
    window_jitter_mm: float = 0.0,
    seed: int = 0,
) -> ActivityScenario:
    """One scenario for all rows, from plain numbers; the parameters are the fields of `ActivityScenario`.

    `timeline` None gives raw activity; `window_length_mm` None keeps the whole profile; `noise` None is Poisson noise
    where `counts` is given and no noise where it is not.
    """
    if noise == "poisson" and counts is None:
        raise InputError("Poisson noise without a number of counts", expected="counts above 0")
    seconds = (0.0, 0.0, 0.0) if timeline is None else _seconds(timeline)
    return ActivityScenario(
        irradiation_s=np.array(seconds[:1]),
        delay_s=np.array(seconds[1:2]),
        acquisition_s=np.array(seconds[2:]),
        raw=timeline is None,
        washout=WashoutScenario(model=washout) if isinstance(washout, str) else washout,
        positrons=positrons,
        positron_range=positron_range,
        psf_fwhm_mm=np.array([psf_fwhm_mm], dtype=np.float64),
        edge=edge,
        noise=noise or ("none" if counts is None else "poisson"),
        counts=_many_counts() if counts is None else np.array([counts], dtype=np.float64),
        background_fraction=background_fraction,
        snr=np.array([snr], dtype=np.float64),
        smoothing_fwhm_mm=smoothing_fwhm_mm,
        window_length_mm=np.array([np.inf if window_length_mm is None else window_length_mm], dtype=np.float64),
        window_anchor=window_anchor,
        window_jitter_mm=np.array([window_jitter_mm], dtype=np.float64),
        noise_seed=np.array([seed], dtype=np.int64),
    )


def _seconds(timeline: Timeline) -> tuple[float, float, float]:
    return timeline.irradiation_s, timeline.delay_s, timeline.acquisition_s


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioRanges:
    """From what a batch of scenarios is drawn: uniform in each range, counts uniform in their logarithm.

    ``washout_spread`` is the relative half-width of the washout draw; ``window_lengths_mm`` are drawn with equal chance
    (infinite is no window); fixed choices stand under the names of `ActivityScenario`.
    """

    washout: str = NO_WASHOUT
    washout_spread: float = 0.5
    irradiation_s: tuple[float, float] = (0.0, 0.0)
    delay_s: tuple[float, float] = (0.0, 0.0)
    acquisition_s: tuple[float, float] = (0.0, 0.0)
    raw: bool = False
    positrons: bool = False
    positron_range: bool = False
    psf_fwhm_mm: tuple[float, float] = (0.0, 0.0)
    edge: str = "reflect"
    noise: str = "none"
    counts: tuple[float, float] = (1e5, 1e5)
    background_fraction: float = 0.10
    snr: tuple[float, float] = (4.0, 4.0)
    smoothing_fwhm_mm: float = 0.0
    window_lengths_mm: tuple[float, ...] = (float("inf"),)
    window_anchor: str = "distal"
    window_jitter_mm: float = 10.0


def draw_scenarios(ranges: ScenarioRanges, rng: np.random.Generator, *, n: int) -> ActivityScenario:
    """Draw `n` scenarios; the same generator state gives the same scenarios."""
    low, high = ranges.counts
    if low <= 0:
        raise InputError("range of counts reaches zero", got=str(low), expected="above 0")
    return ActivityScenario(
        irradiation_s=rng.uniform(*ranges.irradiation_s, size=n),
        delay_s=rng.uniform(*ranges.delay_s, size=n),
        acquisition_s=rng.uniform(*ranges.acquisition_s, size=n),
        raw=ranges.raw,
        washout=draw_washout(ranges.washout, rng, n=n, spread=ranges.washout_spread),
        positrons=ranges.positrons,
        positron_range=ranges.positron_range,
        psf_fwhm_mm=rng.uniform(*ranges.psf_fwhm_mm, size=n),
        edge=ranges.edge,
        noise=ranges.noise,
        counts=np.exp(rng.uniform(np.log(low), np.log(high), n)),
        background_fraction=ranges.background_fraction,
        snr=rng.uniform(*ranges.snr, size=n),
        smoothing_fwhm_mm=ranges.smoothing_fwhm_mm,
        window_length_mm=rng.choice(np.array(ranges.window_lengths_mm, dtype=np.float64), n),
        window_anchor=ranges.window_anchor,
        window_jitter_mm=rng.uniform(-ranges.window_jitter_mm, ranges.window_jitter_mm, n),
        noise_seed=rng.integers(0, 2**62, n),
    )


def activity_findings(scenario: ActivityScenario) -> tuple[Finding, ...]:
    """What the scenario assumes and a reader must know."""
    findings = list(washout_findings(scenario.washout.model))
    if scenario.positron_range:
        text = "positron range is that of water everywhere; where density is low (lung) the true range is longer"
        findings.append(Finding(severity=Severity.INFO, code="POSITRON-RANGE-WATER", text=text))
    return tuple(findings)
