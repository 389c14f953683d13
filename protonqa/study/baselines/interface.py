"""What every estimator of range takes and gives back: rays in, ranges or refusals out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.errors import InputError
from protonqa.physics.curve_marks import NotEvaluable
from protonqa.values import ProfileSet

if TYPE_CHECKING:
    from protonqa.range_model.rays import RayBatch

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RayProfiles:
    """Activity along depth for many rays, a scenario a ray; values that are not finite are kept, and refused later.

    Parameters
    ----------
    depth_mm : (n_depth,)
        Bin centres, increasing; 0.5, 1.5, ... in the 1 mm convention.
    activity : (n_ray, n_depth)
        Any linear unit. NaN and negative values are allowed: a method answers for the other rays.
    mask : (n_ray, n_depth) bool or None
        Bins that may be used; None is all.
    rsp : (n_ray, n_depth) or None
        Planning CT along the ray; NaN where it is not known.
    times_s : (n_ray, 3) or None
        Irradiation, delay, acquisition; NaN where not known.
    background : (n_ray,) or None
        Mean background per bin that was taken off, in the unit of the activity; None is none.

    Raises
    ------
    InputError
        Shapes that differ, depths that do not increase, negative background.
    """

    depth_mm: Floats
    activity: Floats
    mask: Flags | None = None
    rsp: Floats | None = None
    times_s: Floats | None = None
    background: Floats | None = None

    def __post_init__(self) -> None:
        depth = _frozen(self.depth_mm, np.float64)
        if depth.ndim != 1 or depth.size < 2 or not np.isfinite(depth).all() or not (np.diff(depth) > 0).all():
            raise InputError("depths of a profile do not increase", expected="at least two increasing depths in mm")
        activity = _frozen(self.activity, np.float64)
        if activity.ndim != 2 or activity.shape[1] != depth.size:
            raise InputError(
                "activity does not fit its depths",
                got=f"{activity.shape} over {depth.shape}",
                expected="(n_ray, n_depth)",
            )
        n_ray = activity.shape[0]
        mask = np.ones(activity.shape, dtype=bool) if self.mask is None else self.mask
        columns: dict[str, tuple[Any, tuple[int, ...], type]] = {
            "mask": (mask, activity.shape, np.bool_),
            "rsp": (self.rsp, activity.shape, np.float64),
            "times_s": (self.times_s, (n_ray, 3), np.float64),
            "background": (self.background, (n_ray,), np.float64),
        }
        object.__setattr__(self, "depth_mm", depth)
        object.__setattr__(self, "activity", activity)
        for name, (value, shape, kind) in columns.items():
            if value is None:
                continue
            array = _frozen(value, kind)
            if array.shape != shape:
                raise InputError(f"{name} does not fit the activity", got=str(array.shape), expected=str(shape))
            object.__setattr__(self, name, array)
        if self.background is not None and not (self.background >= 0).all():
            raise InputError("background of a profile is negative or not a number", expected="0 or more in each ray")

    @property
    def n_ray(self) -> int:
        """Number of rays."""
        return int(self.activity.shape[0])

    @property
    def usable(self) -> Flags:
        """(n_ray, n_depth) the mask."""
        return np.ones(self.activity.shape, dtype=bool) if self.mask is None else self.mask

    @property
    def step_mm(self) -> float:
        """Width of the bins.

        Raises
        ------
        InputError
            Bins that are not equal.
        """
        step = np.diff(self.depth_mm)
        if float(np.ptp(step)) > 1e-6 * float(step.mean()):
            raise InputError("depths are not equally spaced", expected="equal bins where profiles are shifted")
        return float(step.mean())

    def select(self, rows: NDArray[Any]) -> RayProfiles:
        """The rays of `rows` (indices or mask)."""

        def part(value: NDArray[Any] | None) -> NDArray[Any] | None:
            return None if value is None else value[rows]

        return replace(
            self,
            activity=self.activity[rows],
            mask=part(self.mask),
            rsp=part(self.rsp),
            times_s=part(self.times_s),
            background=part(self.background),
        )

    @classmethod
    def from_profile_set(cls, profiles: ProfileSet) -> RayProfiles:
        """Rays of a profile set, which has one time line for all."""
        line = profiles.timeline
        times = None
        if line is not None:
            times = np.tile([line.irradiation_s, line.delay_s, line.acquisition_s], (profiles.n_ray, 1))
        return cls(
            depth_mm=profiles.depth_mm, activity=profiles.activity, mask=profiles.mask, rsp=profiles.rsp, times_s=times
        )

    @classmethod
    def from_batch(cls, rays: RayBatch) -> RayProfiles:
        """Rays on the working grid of the range model, each with its own time line and known part of the CT."""
        activity = rays.activity.cpu().numpy()
        known = rays.times_known.cpu().numpy()[:, None]
        return cls(
            depth_mm=np.arange(activity.shape[1], dtype=np.float64) + 0.5,
            activity=activity,
            mask=rays.usable.cpu().numpy(),
            rsp=np.where(rays.rsp_known.cpu().numpy(), rays.rsp.cpu().numpy(), np.nan),
            times_s=np.where(known, rays.times_s.cpu().numpy(), np.nan),
        )


#: What a method accepts.
Profiles = ProfileSet | RayProfiles


def as_rays(profiles: Profiles) -> RayProfiles:
    """The same rays as `RayProfiles`."""
    return RayProfiles.from_profile_set(profiles) if isinstance(profiles, ProfileSet) else profiles


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownProfiles:
    """Rays with their R80: of training (the true one), or what the plan leaves one to expect (the planned one).

    Raises
    ------
    InputError
        A number of R80 that differs from the rays, R80 not finite.
    """

    profiles: Profiles
    r80_mm: Floats

    def __post_init__(self) -> None:
        r80 = _frozen(self.r80_mm, np.float64)
        if r80.shape != (self.profiles.n_ray,) or not np.isfinite(r80).all():
            raise InputError(
                "R80 does not fit the rays", got=f"{r80.shape}", expected=f"{self.profiles.n_ray} finite depths in mm"
            )
        object.__setattr__(self, "r80_mm", r80)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a method cannot do without."""

    expected: bool = False
    rsp: bool = False
    training: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RangeEstimates:
    """Ranges of many rays; (n_ray,) each, NaN where there is no answer.

    Parameters
    ----------
    r80_mm : (n_ray,)
    shift_mm : (n_ray,)
        R80 minus planned R80; NaN also where no expected profiles were given.
    sigma_mm : (n_ray,)
        Standard deviation that the method itself states; NaN for methods that state none.
    missing : (n_ray,) of NotEvaluable or None
        None where there is an answer.
    """

    r80_mm: Floats
    shift_mm: Floats
    sigma_mm: Floats
    missing: tuple[NotEvaluable | None, ...]

    @property
    def valid(self) -> Flags:
        """(n_ray,) True where there is an answer."""
        return np.array([m is None for m in self.missing], dtype=bool)

    @property
    def reason(self) -> tuple[str, ...]:
        """Why a ray was refused; empty where it was answered."""
        return tuple("" if m is None else m.reason for m in self.missing)


class Baseline(Protocol):
    """An estimator of range that is ready to be used."""

    @property
    def name(self) -> str:
        """Key in tables and files."""
        ...

    @property
    def title(self) -> str:
        """Words for people."""
        ...

    @property
    def needs(self) -> Needs:
        """What `range_mm` and `fit` must be given."""
        ...

    def range_mm(self, profiles: Profiles, expected: KnownProfiles | None = None) -> RangeEstimates:
        """R80 of each ray; a ray that cannot be judged is refused with its reason."""
        ...


class Trainable(Protocol):
    """An estimator with parameters: a baseline once it is fitted."""

    @property
    def name(self) -> str:
        """Key in tables and files."""
        ...

    @property
    def title(self) -> str:
        """Words for people."""
        ...

    @property
    def needs(self) -> Needs:
        """What `range_mm` and `fit` must be given."""
        ...

    def fit(self, training: KnownProfiles) -> Baseline:
        """The estimator with parameters from rays of known R80."""
        ...


def estimates(
    r80_mm: ArrayLike,
    missing: list[NotEvaluable | None],
    *,
    expected: KnownProfiles | None = None,
    sigma_mm: ArrayLike | None = None,
) -> RangeEstimates:
    """Put an answer together: no number stays on a refused ray, and none goes without a reason."""
    value = np.array(r80_mm, dtype=np.float64)
    lost = NotEvaluable(code="no-answer", reason="the method gave no finite range")
    missing = [lost if m is None and not np.isfinite(v) else m for m, v in zip(missing, value, strict=True)]
    valid = np.array([m is None for m in missing], dtype=bool)
    value[~valid] = np.nan
    sigma = np.full(value.shape, np.nan) if sigma_mm is None else np.array(sigma_mm, dtype=np.float64)
    sigma[~valid] = np.nan
    shift = np.full(value.shape, np.nan) if expected is None else value - expected.r80_mm
    return RangeEstimates(r80_mm=value, shift_mm=shift, sigma_mm=sigma, missing=tuple(missing))


def matched(profiles: Profiles, expected: KnownProfiles | None) -> tuple[RayProfiles, RayProfiles, KnownProfiles]:
    """Measured and expected rays of a method that shifts profiles.

    Raises
    ------
    InputError
        No expected profiles, other rays or other depths.
    """
    if expected is None:
        raise InputError(
            "this method compares with expected profiles, and none were given", expected="one expected profile per ray"
        )
    measured, reference = as_rays(profiles), as_rays(expected.profiles)
    same = measured.activity.shape == reference.activity.shape
    if not same or not np.allclose(measured.depth_mm, reference.depth_mm, rtol=0.0, atol=1e-6):
        raise InputError(
            "measured and expected profiles do not match",
            got=f"{measured.activity.shape} and {reference.activity.shape}",
            expected="the same rays on the same depths",
        )
    return measured, reference, expected


def _frozen(array: Any, kind: type) -> NDArray[Any]:
    copy: NDArray[Any] = np.array(array, dtype=kind)
    copy.setflags(write=False)
    return copy
