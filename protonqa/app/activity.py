"""`activity`: time line, washout and depth window on a profile table as `simulate` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from protonqa.activity.scenario import ActivityScenario, activity_findings, activity_scenario
from protonqa.app.progress import Progress, report_progress
from protonqa.device import CPU, Device
from protonqa.errors import InputError, NotEvaluableError
from protonqa.values import DepthProfile, Finding, ProfileSet, Severity, Timeline

_TIMES = ("irradiation_s", "delay_s", "acquisition_s")


class ActivityParams(BaseModel):
    """What happens between the beam and the picture."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    profile: Path = Field(description="Profile table as simulate writes it.")
    out: Path = Field(description="Activity profiles: CSV, or NPZ by suffix.")
    delay_s: float | None = Field(None, ge=0, description="End of beam to start of frame, s.")
    acquisition_s: float | None = Field(
        None, ge=0, description="Length of the frame, s; 0 gives activity (Bq), above 0 decays in the frame."
    )
    irradiation_s: float | None = Field(None, ge=0, description="Duration of the irradiation, s; 0 is instantaneous.")
    washout: str = Field("none", description="none, mizuno-brain, mizuno-muscle, parodi-hu or toramatsu-o15.")
    window_mm: float | None = Field(None, gt=0, description="Length of the depth window, mm [default: all depths].")
    window_anchor: Literal["distal", "proximal"] = Field(
        "distal", description="A distal window ends 20 mm behind A50, a proximal one begins at the surface."
    )
    window_jitter_mm: float = Field(0.0, ge=0, le=50, description="Draw the distal end within this distance, mm.")
    psf_mm: float = Field(0.0, ge=0, le=30, description="Scanner resolution along depth, FWHM, mm.")
    counts: float | None = Field(None, gt=0, description="Detected true coincidences a ray [default: no noise].")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ActivityProfiles:
    """Activity of every ray, and where it came from."""

    sets: tuple[ProfileSet, ...]
    a50_mm: tuple[float | None, ...]
    window_mm: tuple[tuple[float, float], ...]
    timeline: Timeline | None
    findings: tuple[Finding, ...]

    @property
    def rays(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(name for one in self.sets for name in one.ray)

    def to_plain(self) -> dict[str, Any]:
        """JSON types."""
        from protonqa.analyses.result_json import finding_to_plain

        line = self.timeline
        rows = [
            {"ray": ray, "a50_mm": a50_mm, "first_mm": first, "last_mm": last}
            for ray, a50_mm, (first, last) in zip(self.rays, self.a50_mm, self.window_mm, strict=True)
        ]
        unit = self.sets[0].activity_unit if self.sets else ""
        times = {name: None if line is None else getattr(line, name) for name in _TIMES}
        findings = [finding_to_plain(one) for one in self.findings]
        return {"rays": rows, "activity_unit": unit, **times, "findings": findings}

    def summary(self) -> str:
        """Some lines for a terminal."""
        lines = []
        for ray, a50_mm, (first, last) in zip(self.rays, self.a50_mm, self.window_mm, strict=True):
            mark = "no A50" if a50_mm is None else f"A50 {a50_mm:.2f} mm"
            lines.append(f"ray {ray}: {mark}, depths {first:g} to {last:g} mm")
        return "\n".join([*lines, *(f"  {one.severity.value}: {one.text}" for one in self.findings)])


def make_activity(
    params: ActivityParams, *, seed: int = 0, device: Device = CPU, progress: Progress | None = None
) -> ActivityProfiles:
    """Read a profile table, apply the chain, write the activity.

    Raises
    ------
    InputError
        A table, model or number that cannot be used; tissue-dependent washout without HU.
    NotEvaluableError
        A distal window is asked for and no ray has an A50 to place it by.
    StoreError
        The file cannot be written.
    """
    from protonqa.analyses.run_folder import prove_writable
    from protonqa.files.depth_profiles import read_depth_profiles
    from protonqa.files.profiles import write_profiles

    scenario, timeline = _scenario(params)
    profiles = read_depth_profiles(params.profile)
    prove_writable(params.out.parent)
    report_progress(progress, None, 0, len(profiles), "activity")
    # One stream of draws for the rays of the file in order, whatever their depths.
    rng = np.random.default_rng([0xAC71, seed])
    jitter_mm = rng.uniform(-params.window_jitter_mm, params.window_jitter_mm, len(profiles))
    seeds = rng.integers(0, 2**62, len(profiles))
    made = []
    for rows in _alike(profiles):
        made += _activity_of(
            [profiles[i] for i in rows], params, scenario, timeline, jitter_mm[rows], seeds[rows], device
        )
        report_progress(progress, None, rows[-1] + 1, len(profiles), "activity")
    kept = [one for one in made if one is not None]
    if not kept:
        raise NotEvaluableError(
            "a distal window has no place",
            got=f"{len(profiles)} rays without an A50",
            expected="a fall-off of the activity",
            remedy="use --window-anchor proximal, or no window",
        )
    findings = list(activity_findings(scenario))
    if len(kept) < len(profiles):
        text = f"{len(profiles) - len(kept)} of {len(profiles)} rays have no A50 to place the window by: left out."
        findings.append(Finding(severity=Severity.WARNING, code="ACTIVITY-NO-WINDOW", text=text))
    write_profiles(params.out, [one.profile for one in kept])
    return ActivityProfiles(
        sets=tuple(one.profile for one in kept),
        a50_mm=tuple(one.a50_mm for one in kept),
        window_mm=tuple(one.window_mm for one in kept),
        timeline=timeline,
        findings=tuple(findings),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ray:
    profile: ProfileSet
    a50_mm: float | None
    window_mm: tuple[float, float]


def _scenario(params: ActivityParams) -> tuple[ActivityScenario, Timeline | None]:
    """Everything but window and seeds; without any time the table holds nuclei made and nothing decays."""
    given = {name: getattr(params, name) for name in _TIMES}
    timeline = None
    if any(value is not None for value in given.values()):
        timeline = Timeline(**{name: value or 0.0 for name, value in given.items()})
    elif params.washout != "none":
        raise InputError(
            "washout needs a time line", expected="--delay-s, and --irradiation-s and --acquisition-s where not 0"
        )
    scenario = activity_scenario(
        timeline, washout=params.washout, psf_fwhm_mm=params.psf_mm, edge="open", counts=params.counts
    )
    return scenario, timeline


def _alike(profiles: tuple[DepthProfile, ...]) -> Iterator[list[int]]:
    """Neighbours with the same depths and columns, which are computed together."""

    def key(index: int) -> tuple[bytes, bool]:
        return profiles[index].depth_mm.tobytes(), profiles[index].hu is None

    for _, rows in groupby(range(len(profiles)), key=key):
        yield list(rows)


def _activity_of(
    profiles: list[DepthProfile],
    params: ActivityParams,
    scenario: ActivityScenario,
    timeline: Timeline | None,
    jitter_mm: NDArray[np.float64],
    seeds: NDArray[np.int64],
    device: Device,
) -> list[_Ray | None]:
    from protonqa.activity.arrays import profile_activity
    from protonqa.physics.curves import a50s

    depth_mm = profiles[0].depth_mm
    production = np.stack([one.production_per_mm for one in profiles], axis=1)
    hus = [one.hu for one in profiles if one.hu is not None]
    hu = np.stack(hus) if len(hus) == len(profiles) else None
    clean = replace(scenario, noise="none")
    activity, _ = profile_activity(production, depth_mm, clean, hu=hu, device=device.kind)
    # Before noise and window: the window must not depend on either.
    marks = a50s(depth_mm, activity)
    point_mm = marks.value_mm if params.window_anchor == "distal" else np.zeros(len(profiles))
    placed = np.isfinite(point_mm) if params.window_mm is not None else np.ones(len(profiles), dtype=bool)
    mask = np.ones(activity.shape, dtype=bool)
    rows = np.flatnonzero(placed)
    if rows.size and (params.window_mm is not None or scenario.noise != "none"):
        drawn = replace(
            scenario,
            noise_seed=seeds[rows],
            window_length_mm=np.full(rows.size, np.inf if params.window_mm is None else params.window_mm),
            window_anchor=params.window_anchor,
            window_jitter_mm=jitter_mm[rows],
        )
        activity[rows], mask[rows] = profile_activity(
            production[:, rows],
            depth_mm,
            drawn,
            hu=None if hu is None else hu[rows],
            distal_point_mm=point_mm[rows],
            device=device.kind,
        )
    return [
        _ray(profiles[i], activity[i], mask[i], float(marks.value_mm[i]), params, timeline, i) if placed[i] else None
        for i in range(len(profiles))
    ]


def _ray(
    profile: DepthProfile,
    activity: NDArray[np.float64],
    mask: NDArray[np.bool_],
    a50_mm: float,
    params: ActivityParams,
    timeline: Timeline | None,
    index: int,
) -> _Ray:
    inside = profile.depth_mm[mask]
    if inside.size < 2:
        raise InputError(
            "the depth window keeps fewer than two depths of a ray",
            got=f"{inside.size} depths",
            remedy="widen the window",
        )
    in_bq = timeline is not None and timeline.acquisition_s == 0
    unit = "nuclei per mm and proton" if timeline is None else f"{'Bq' if in_bq else 'decays'} per mm and proton"
    made = ProfileSet(
        depth_mm=profile.depth_mm,
        activity=activity[None],
        mask=mask[None],
        rsp=None if profile.rsp is None else profile.rsp[None],
        hu=None if profile.hu is None else profile.hu[None],
        timeline=timeline,
        psf_fwhm_mm=params.psf_mm if params.psf_mm > 0 else None,
        ray=(profile.ray or str(index),),
        activity_unit=unit,
    )
    return _Ray(
        profile=made,
        a50_mm=a50_mm if np.isfinite(a50_mm) else None,
        window_mm=(float(inside[0]), float(inside[-1])),
    )
