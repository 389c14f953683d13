"""Statistics of the study's tables: errors, coverage, comparisons of methods, each with an interval over anatomies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.errors import InputError
from protonqa.range_model.metrics import DoseErrors, range_errors
from protonqa.study.bootstrap import LEVEL, RESAMPLES, CountStatistic, Interval, Method, counts_bootstrap, sign_flip_p
from protonqa.study.resampling import Anatomies, Quantiles

Floats = NDArray[np.float64]

# No error at all would make a ratio infinite.
_NOTHING_MM = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodStatistics:
    """One method on one set of rays.

    Parameters
    ----------
    n_ray, n_anatomy : int
        Rays asked about, and anatomies they come from.
    answered : float
        Share of rays with an answer.
    refused_mae_mm : float or None
        Mean absolute error on the refused rays, where the method had a number for them.
    values : mapping of name to Interval
        ``mean_mm``, ``sd_mm`` (the range uncertainty), ``mae_mm``, ``median_mm``, ``p95_mm`` of the range error; where
        given also ``coverage``, ``width_mm``, ``dose_mae``, ``dose_mre_percent``,
        ``dose_mre_without_falloff_percent``. Empty where no ray was answered.
    """

    n_ray: int
    n_anatomy: int
    answered: float
    refused_mae_mm: float | None
    values: Mapping[str, Interval]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageRow:
    """Intervals of one subgroup: how many hold the truth, and how wide they are."""

    subgroup: str
    n_ray: int
    n_anatomy: int
    coverage: Interval
    width_mm: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two methods on the rays that both answered.

    Parameters
    ----------
    difference_mm : Interval
        MAE of the first minus that of the second; negative where the first is better.
    ratio : Interval
        MAE of the second over that of the first: how many times better the first is.
    p_value : float
        Two-sided, by exchanging the methods in whole anatomies (sign flips).
    """

    n_ray: int
    n_anatomy: int
    first_mae_mm: float
    second_mae_mm: float
    difference_mm: Interval
    ratio: Interval
    p_value: float


def method_statistics(
    predicted_mm: Floats,
    true_mm: Floats,
    anatomy: ArrayLike,
    *,
    seed: int,
    answered: NDArray[np.bool_] | None = None,
    low_mm: Floats | None = None,
    high_mm: Floats | None = None,
    dose: DoseErrors | None = None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    method: Method = "bca",
) -> MethodStatistics:
    """A row of the table: range error, dose error, coverage and width of the answered rays, share of answers.

    Parameters
    ----------
    predicted_mm, true_mm : (n_ray,)
        R80; predictions of refused rays may be NaN.
    answered : (n_ray,) bool or None
        None: the rays with a finite prediction.
    low_mm, high_mm : (n_ray,) or None
    dose : DoseErrors or None
        Of all rays, as `protonqa.range_model.metrics.dose_errors` gives them.
    resamples : int
        Draws of anatomies; 0 gives values without intervals.

    Raises
    ------
    InputError
        Shapes that differ, a ray called answered without a finite prediction or truth.
    """
    predicted, true = np.asarray(predicted_mm, dtype=np.float64), np.asarray(true_mm, dtype=np.float64)
    given = np.isfinite(predicted) if answered is None else np.asarray(answered, dtype=bool)
    names = np.asarray(anatomy)
    columns: dict[str, Floats] = {}
    if low_mm is not None and high_mm is not None:
        columns |= {"low": np.asarray(low_mm, dtype=np.float64), "high": np.asarray(high_mm, dtype=np.float64)}
    if dose is not None:
        columns |= {
            "dose_mae": dose.mae,
            "dose_mre_percent": dose.mre_percent,
            "dose_mre_without_falloff_percent": dose.mre_without_falloff_percent,
        }
    if any(c.shape != predicted.shape for c in (true, given, names, *columns.values())) or predicted.ndim != 1:
        raise InputError("columns of a table do not match", expected=f"{predicted.size} values in each")
    refused = ~given & np.isfinite(predicted)
    rows = np.flatnonzero(given)
    values: dict[str, Interval] = {}
    if rows.size:
        kept = {key: column[rows] for key, column in columns.items()}
        range_errors(predicted[rows], true[rows])  # refuses what is not finite
        anatomies = Anatomies.of(names[rows])
        order, statistic = _row_statistic(predicted[rows], true[rows], kept, anatomies)
        found = counts_bootstrap(statistic, anatomies.count, seed=seed, resamples=resamples, level=level, method=method)
        values = dict(zip(order, found, strict=True))
    return MethodStatistics(
        n_ray=predicted.size,
        n_anatomy=len(set(names.tolist())),
        answered=float(given.mean()) if given.size else 0.0,
        refused_mae_mm=range_errors(predicted[refused], true[refused]).mae_mm if refused.any() else None,
        values=values,
    )


def coverage_by_subgroup(
    low_mm: Floats,
    high_mm: Floats,
    true_mm: Floats,
    subgroup: ArrayLike,
    anatomy: ArrayLike,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    method: Method = "bca",
) -> tuple[CoverageRow, ...]:
    """Coverage and mean width of the intervals in each subgroup, in the order of their names; (n_ray,) each.

    Raises
    ------
    InputError
        Shapes that differ, bounds that are not finite: refused rays are left out by the caller.
    """
    low, high, true = (np.asarray(c, dtype=np.float64) for c in (low_mm, high_mm, true_mm))
    groups, names = np.asarray(subgroup), np.asarray(anatomy)
    same = all(c.shape == low.shape for c in (high, true, groups, names))
    if not same or not all(np.isfinite(c).all() for c in (low, high, true)):
        raise InputError("intervals of a table do not match or are not finite", expected=f"{low.size} values in each")
    found = []
    for name in sorted(set(groups.tolist())):
        rows = np.flatnonzero(groups == name)
        a, b, t = low[rows], high[rows], true[rows]

        anatomies = Anatomies.of(names[rows])
        sums = np.stack([anatomies.sums(v) for v in (np.ones(rows.size), (a <= t) & (t <= b), b - a)], axis=1)

        def statistic(counts: Floats, sums: Floats = sums) -> Floats:
            total = counts @ sums
            return np.asarray(total[:, 1:] / total[:, :1])

        inside, width = counts_bootstrap(
            statistic, anatomies.count, seed=seed, resamples=resamples, level=level, method=method
        )
        n_anatomy = anatomies.count
        found.append(
            CoverageRow(subgroup=str(name), n_ray=rows.size, n_anatomy=n_anatomy, coverage=inside, width_mm=width)
        )
    return tuple(found)


def compare(
    first_mm: Floats,
    second_mm: Floats,
    true_mm: Floats,
    anatomy: ArrayLike,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    method: Method = "bca",
) -> Comparison:
    """Compare the absolute errors of two methods, paired ray by ray and drawn by anatomy; NaN is a refusal.

    Raises
    ------
    InputError
        Shapes that differ, no ray that both answered.
    """
    first, second, true = (np.asarray(c, dtype=np.float64) for c in (first_mm, second_mm, true_mm))
    names = np.asarray(anatomy)
    if not first.shape == second.shape == true.shape == names.shape:
        raise InputError("columns of a comparison do not match", expected=f"{first.size} values in each")
    both = np.isfinite(first) & np.isfinite(second)
    if not both.any():
        raise InputError("no ray was answered by both methods", expected="at least one ray to compare")
    a, b = np.abs(first - true)[both], np.abs(second - true)[both]

    anatomies = Anatomies.of(names[both])
    by_anatomy = np.stack([anatomies.sums(v) for v in (np.ones(a.size), a, b)], axis=1)

    def statistic(counts: Floats) -> Floats:
        n, sum_a, sum_b = (counts @ by_anatomy).T
        mae_a, mae_b = sum_a / n, sum_b / n
        return np.stack([mae_a - mae_b, mae_b / np.maximum(mae_a, _NOTHING_MM)], axis=1)

    difference, ratio = counts_bootstrap(
        statistic, anatomies.count, seed=seed, resamples=resamples, level=level, method=method
    )
    sums = by_anatomy[:, 1] - by_anatomy[:, 2]
    return Comparison(
        n_ray=int(both.sum()),
        n_anatomy=anatomies.count,
        first_mae_mm=float(a.mean()),
        second_mae_mm=float(b.mean()),
        difference_mm=difference,
        ratio=ratio,
        p_value=sign_flip_p(sums, seed=seed, resamples=resamples),
    )


def _row_statistic(
    predicted: Floats, true: Floats, columns: dict[str, Floats], anatomies: Anatomies
) -> tuple[tuple[str, ...], CountStatistic]:
    """Names and function of the statistics of one row of the table."""
    dose = [key for key in columns if key.startswith("dose")]
    bounds = "low" in columns
    names = ("mean_mm", "sd_mm", "mae_mm", "median_mm", "p95_mm", *(("coverage", "width_mm") if bounds else ()), *dose)
    error = predicted - true
    centre = float(error.mean())
    quantiles = Quantiles.of(np.abs(error), anatomies)
    parts = [np.ones(error.size), error - centre, (error - centre) ** 2, np.abs(error)]
    if bounds:
        low, high = columns["low"], columns["high"]
        parts += [(low <= true) & (true <= high), high - low]
    # A ray can be without a plateau: such a one has no dose error and does not count.
    for key in dose:
        finite = np.isfinite(columns[key])
        parts += [np.where(finite, columns[key], 0.0), finite]
    sums = np.stack([anatomies.sums(part) for part in parts], axis=1)

    def statistic(counts: Floats) -> Floats:
        total = (counts @ sums).T
        n, rest = total[0], list(total[4:])
        mean = total[1] / n
        sd = np.sqrt(np.maximum(total[2] - n * mean**2, 0.0) / np.maximum(n - 1.0, 1.0))
        median, p95 = quantiles.at(counts, (0.5, 0.95)).T
        found = [mean + centre, sd, total[3] / n, median, p95]
        if bounds:
            found += [rest.pop(0) / n, rest.pop(0) / n]
        for value, count in zip(rest[::2], rest[1::2], strict=True):
            found.append(np.divide(value, count, out=np.full(n.size, np.nan), where=count > 0))
        return np.stack(found, axis=1)

    return names, statistic
