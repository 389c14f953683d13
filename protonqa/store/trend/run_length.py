"""How often run rules raise a false alarm: exact for known limits, simulated for limits from a short baseline.

Source: C. W. Champ and W. H. Woodall, Exact results for Shewhart control charts with supplementary runs rules,
Technometrics 29 (1987) 393; the chain of states here is made anew from the rules. C. P. Quesenberry, The effect of
sample size on estimated limits for X-bar and X control charts, J. Quality Technology 25 (1993) 237, for what
estimated limits do.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.stats import norm

from protonqa.store.trend.cusum import DEFAULT_H, DEFAULT_K, cusum
from protonqa.store.trend.individuals import RANGE_MEAN, RULES, RunRule, moving_ranges, range_flags, rule_flags

_CHAINS = 4000
#: Fixed, so that the same page always states the same figure.
_SEED = 20_240_601

# What is remembered of one rule on one side: whether each of the last points lay in its zone, newest first.
_Bits = tuple[bool, ...]
_State = tuple[_Bits, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseAlarms:
    """What to expect of a process in control.

    Parameters
    ----------
    per_point : float
        Share of points with at least one flag.
    per_window : float
        Share of pages whose last points hold at least one flag.
    standard_error : float
        Of `per_window`, from the number of simulated charts.
    """

    per_point: float
    per_window: float
    standard_error: float


def run_length(rules: Sequence[RunRule], shift: float = 0.0) -> float:
    """Mean number of points to the first one that any of `rules` flags; independent normal values, known limits.

    Parameters
    ----------
    rules : sequence of RunRule
    shift : float
        Of the true mean from the centre, SD.

    Returns
    -------
    float
        370.4 for one point beyond 3 SD, 91.75 for all four rules, at shift zero.
    """
    kinds = tuple((rule.count, rule.of, rule.beyond) for rule in rules)
    edges, steps = _chain(kinds)
    share = np.diff(norm.cdf(np.array(edges) - shift))
    size = len(steps)
    stay = np.zeros((size, size))
    for state, targets in enumerate(steps):
        for zone, target in enumerate(targets):
            if target >= 0:
                stay[state, target] += share[zone]
    return float(np.linalg.solve(np.eye(size) - stay, np.ones(size))[0])


@cache
def _chain(kinds: tuple[tuple[int, int, float], ...]) -> tuple[list[float], list[list[int]]]:
    """Zones of the axis and, for each state that can be reached, the next state by zone; -1 is an alarm."""
    marks = sorted({side * beyond for _, _, beyond in kinds for side in (-1.0, 1.0)})
    edges = [-np.inf, *marks, np.inf]
    middles = [_inside(low, high) for low, high in itertools.pairwise(edges)]
    sides = [(count, of, beyond, sign) for count, of, beyond in kinds for sign in (1.0, -1.0)]
    start: _State = tuple((False,) * (of - 1) for _, of, _, _ in sides)
    numbers, queue, steps = {start: 0}, [start], []
    for state in queue:
        targets = []
        for value in middles:
            following = _next(state, sides, value)
            if following is None:
                targets.append(-1)
                continue
            if following not in numbers:
                numbers[following] = len(numbers)
                queue.append(following)
            targets.append(numbers[following])
        steps.append(targets)
    return edges, steps


def _inside(low: float, high: float) -> float:
    """Any value within a zone."""
    if np.isinf(low):
        return high - 1.0
    return low + 1.0 if np.isinf(high) else 0.5 * (low + high)


def _next(state: _State, sides: Iterable[tuple[int, int, float, float]], value: float) -> _State | None:
    """What is remembered after one more point; None where it raises an alarm."""
    after = []
    for (count, of, beyond, sign), bits in zip(sides, state, strict=True):
        now = sign * value > beyond
        window = (now, *bits)
        if now and sum(window) >= count:
            return None
        after.append(_needed(window[: of - 1], count, of))
    return tuple(after)


def _needed(bits: _Bits, count: int, of: int) -> _Bits:
    """`bits` without those that no future alarm can rest on, so that fewer states are told apart."""
    kept = list(bits)
    for age in reversed(range(len(kept))):
        if kept[age]:
            # After t more points inside the zone the window still reaches back to age of - 1 - t.
            later = range(1, min(of - 1 - age, count - 1) + 1)
            kept[age] = any(sum(bits[: of - t]) >= count - t for t in later)
    return tuple(kept)


@cache
def false_alarms(
    baseline: int,
    points: int,
    window: int,
    rules: tuple[str, ...] = tuple(RULES),
    ranges: bool = True,
    k: float = DEFAULT_K,
    h: float = DEFAULT_H,
) -> FalseAlarms:
    """What the charts of a process in control show, with limits estimated from its own baseline.

    4000 charts of independent normal values are drawn with a fixed seed and judged as real ones are.

    Parameters
    ----------
    baseline : int
        Points of the baseline, two or more.
    points : int
        Points after it, one or more.
    window : int
        The last points of these, on which the verdict rests.
    rules : names of `RULES`
    ranges : bool
        Moving ranges are judged too.
    k, h : float
        Of the CUSUM, SD.
    """
    rng = np.random.default_rng([_SEED, baseline, points])
    values = rng.standard_normal((_CHAINS, baseline + points))
    own = values[:, :baseline]
    sd = moving_ranges(own).mean(axis=1, keepdims=True) / RANGE_MEAN
    z = (values - own.mean(axis=1, keepdims=True)) / sd
    flagged = cusum(z, k, h)[2]
    for name in rules:
        flagged |= rule_flags(z, RULES[name])
    if ranges:
        flagged |= range_flags(moving_ranges(z))
    after = flagged[:, baseline:]
    found = float(after[:, -window:].any(axis=1).mean())
    return FalseAlarms(
        per_point=float(after.mean()),
        per_window=found,
        standard_error=float(np.sqrt(found * (1.0 - found) / _CHAINS)),
    )
