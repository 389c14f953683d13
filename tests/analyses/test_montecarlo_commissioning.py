"""The acceptance test of the Monte Carlo: it passes with the engine as it is and fails with every engine made wrong."""

from __future__ import annotations

import re

import numpy as np
import pytest

from protonqa.analyses.commissioning import commission_analysis
from protonqa.analyses.montecarlo import (
    MonteCarlo,
    checks_bits,
    checks_depth,
    checks_spread,
    checks_yields,
    commissioning,
)
from protonqa.analyses.montecarlo.depth_curves import curve_facts, gamma_share
from protonqa.analyses.montecarlo.expected import gaussian_core_sigma_mm, independent_depth_dose
from protonqa.analyses.montecarlo.trials import Trials
from protonqa.montecarlo import simulation
from protonqa.montecarlo.leg_tables import N_LEG, RATIO, SCATTER, SHAPE, SIGMA

QUICK = Trials(quick=True)
#: What every quick test must show, as patterns of names of checks.
PROMISED = (
    "philox-known-answers",
    r"r80-water-(70|150)mev-(least|most)",
    r"energy-balance-(70|150)mev",
    r"not-deposited-(70|150)mev",
    r"independent-(r80|falloff|deposited|gamma)-(70|150)mev",
    "independent-peak-150mev",
    r"lateral-sigma-150mev-\d+mm",
    "peak-sigma-150mev",
    r"yield-(c11|o15|n13)-(water|pmma)-140mev-(recommended|gate)",
    r"ratio-o15-c11-pmma-140mev-(recommended|gate)",
    r"secondaries-(water|pmma)-140mev-recommended",
    "voxels-(r80|sigma)-4x4mm",
    "same-bits-1-2-and-3-threads",
)


@pytest.fixture(scope="module")
def outcome():
    return commission_analysis(MonteCarlo(), quick=True)


def test_the_engine_passes(outcome):
    assert outcome.findings == ()
    assert outcome.passed, [(c.name, c.value, c.comparison, c.limit) for c in outcome.checks if not c.passed]


def test_every_promise_has_its_check_and_every_check_its_promise(outcome):
    names = [check.name for check in outcome.checks]
    assert len(set(names)) == len(names)
    kept = {pattern: [name for name in names if re.fullmatch(pattern, name)] for pattern in PROMISED}
    assert [pattern for pattern, found in kept.items() if not found] == []
    assert sorted(name for found in kept.values() for name in found) == sorted(names)


def test_tables_and_figures_hold_what_was_measured(outcome):
    depths, spread, yields = outcome.tables
    assert [row[0] for row in depths.rows] == [70.0, 150.0]
    shares = dict(zip(depths.columns, depths.rows[1], strict=True))
    whole = sum(shares[f"{name}_percent"] for name in ("deposited", "escaped", "neutral", "binding"))
    assert whole == pytest.approx(100.0, abs=0.1)
    assert 1.5 < shares["neutral_percent"] < 4.0
    assert {row[0] for row in spread.rows} == {150.0}
    assert {row[:4] for row in yields.rows} >= {("pmma", 140.0, "gate", "15O"), ("water", 140.0, "recommended", "11C")}
    assert [figure.name for figure in outcome.figures] == [
        "depth-doses",
        "depth-dose-residuals",
        "ranges",
        "lateral-spread",
        "yields-water",
        "yields-pmma",
    ]
    residual = outcome.figures[1].series[0]
    assert 0.05 < np.abs(residual.y).max() < 5.0


def test_the_full_test_covers_all_energies_materials_and_voxels():
    """What `quick` leaves out is a matter of constants: the energies of the stated targets must be among them."""
    assert {*checks_depth.DEPTH_DOSE_MEV, *checks_depth.RANGE_MEV} >= {70.0, 110.0, 150.0, 190.0, 230.0}
    assert set(checks_depth.PEAK_RATIO_MEV) == {100.0, 150.0, 200.0}
    assert set(checks_depth.QUICK_MEV) <= set(checks_depth.DEPTH_DOSE_MEV)
    assert checks_yields.YIELD_MEV == (110.0, 140.0, 175.0)
    assert {(2.0, 2.0), (4.0, 4.0)} <= set(checks_spread.CUTS_MM)
    assert (checks_depth.R80_LIMIT_MM, checks_depth.SMOOTH_LIMIT_MM) == (0.6, 0.1)
    same = (checks_depth.SAME_R80_MM, checks_depth.SAME_FALLOFF_MM, checks_depth.SAME_PEAK_PERCENT)
    assert same == (0.3, 0.2, 3.0)
    assert (checks_depth.SAME_ENERGY_PERCENT, checks_depth.GAMMA_PERCENT) == (1.0, 99.0)
    assert (checks_spread.SIGMA_LIMIT_PERCENT, checks_spread.PEAK_LIMIT_PERCENT) == (3.0, 6.0)
    assert (checks_spread.CUT_R80_LIMIT_MM, checks_spread.CUT_SIGMA_LIMIT_PERCENT) == (0.2, 2.0)
    assert (checks_yields.YIELD_LIMIT_PERCENT, checks_yields.RATIO_LIMIT) == (2.0, 0.02)


def with_array(tables, name, values):
    """Tables with another array, of the type that the compiled kernels know."""
    old = getattr(tables, name)
    new = np.ascontiguousarray(values, dtype=old.dtype)
    new.setflags(write=old.flags.writeable)
    return tables._replace(**{name: new})


def leg_scaled(tables, column, factor):
    """Tables with one column of the legs multiplied."""
    leg = tables.leg.reshape(-1, N_LEG).copy()
    leg[:, column] *= factor
    return with_array(tables, "leg", leg.ravel())


@pytest.fixture
def make_wrong(monkeypatch):
    """A function that replaces the tables every simulation reads by what it makes of them."""
    right = simulation._tables

    def make(change):
        monkeypatch.setattr(simulation, "_tables", lambda *of: change(right(*of)))

    return make


def failed(checks):
    return {re.sub(r"-[\d.]+mm$", "", check.name) for check in checks if not check.passed}


def depth_failures(protons=60_000):
    trial = checks_depth.depth_trial(QUICK, 150.0, protons)
    return failed(
        checks_depth.range_checks(trial) + checks_depth.energy_checks(trial) + checks_depth.independent_checks(trial)
    )


WRONG_ALONG = {
    "protons go 0.5 % less far": (
        lambda t: leg_scaled(t, RATIO, 1.005),
        {"r80-water-150mev-most", "independent-r80-150mev"},
    ),
    "protons go 0.5 % farther": (lambda t: leg_scaled(t, RATIO, 0.995), {"r80-water-150mev-least"}),
    "half the straggling": (lambda t: leg_scaled(t, SHAPE, 4.0), {"independent-falloff-150mev"}),
    "a twentieth of the neutrals is not booked": (
        lambda t: with_array(t, "neutral", 0.95 * t.neutral),
        {"energy-balance-150mev"},
    ),
    "recoils lose their energy": (lambda t: with_array(t, "recoil", 0.0 * t.recoil), {"energy-balance-150mev"}),
    "no secondary protons": (
        lambda t: with_array(t, "multiplicity", t.multiplicity * [0.0, 1.0, 1.0]),
        {"energy-balance-150mev", "independent-deposited-150mev"},
    ),
    "twice the nuclear events": (
        lambda t: leg_scaled(t, SIGMA, 2.0),
        {"not-deposited-150mev", "independent-peak-150mev", "independent-gamma-150mev"},
    ),
}


@pytest.mark.parametrize("wrong", WRONG_ALONG)
def test_an_engine_wrong_along_the_beam_fails(make_wrong, wrong):
    change, expected = WRONG_ALONG[wrong]
    make_wrong(change)
    assert expected <= depth_failures()


@pytest.mark.parametrize(("factor", "peak"), [(0.9, set()), (1.2, {"peak-sigma-150mev"})])
def test_an_engine_that_scatters_otherwise_fails(make_wrong, monkeypatch, factor, peak):
    """The square of the angle is scaled, so that the spread changes by half of that."""
    monkeypatch.setattr(checks_spread, "_QUICK_PROTONS", 30_000)
    make_wrong(lambda t: leg_scaled(t, SCATTER, factor))
    assert {"lateral-sigma-150mev", *peak} <= failed(checks_spread.spread_checks(checks_spread.spread_trials(QUICK)))


def test_an_engine_that_makes_more_nuclei_fails(make_wrong):
    make_wrong(lambda t: with_array(t, "emission", 1.03 * t.emission))
    assert {f"yield-{key}-pmma-140mev-recommended" for key in ("c11", "o15", "n13")} <= failed(
        checks_yields.yield_checks(checks_yields.yield_trials(QUICK))
    )


def test_an_engine_whose_secondaries_make_no_nuclei_fails(make_wrong):
    make_wrong(lambda t: with_array(with_array(t, "kinds", 0.0 * t.kinds), "multiplicity", 0.0 * t.multiplicity - 1.0))
    many = [checks_yields._trial(QUICK, "water", 140.0, "recommended")]
    assert "secondaries-water-140mev-recommended" in failed(checks_yields.yield_checks(many))


def test_an_engine_that_minds_the_size_of_its_voxels_fails(monkeypatch):
    run = Trials.run

    def minds(self, medium, energy_mev, protons, **options):
        return run(self, medium, energy_mev + 0.05 * medium.grid.spacing_mm[0], protons, **options)

    monkeypatch.setattr(Trials, "run", minds)
    monkeypatch.setattr(checks_spread, "_QUICK_CUT_PROTONS", 20_000)
    assert "voxels-r80-4x4mm" in {check.name for check in checks_spread.cut_checks(QUICK) if not check.passed}


def test_an_engine_that_minds_the_number_of_its_threads_fails(monkeypatch):
    run = Trials.run

    def minds(self, *args, threads=None, **options):
        return run(Trials(seed=threads or 0), *args, threads=threads, **options)

    monkeypatch.setattr(Trials, "run", minds)
    (check,) = checks_bits.thread_checks(QUICK)
    assert check.value > 0
    assert not check.passed


def test_another_random_generator_fails(monkeypatch):
    monkeypatch.setattr(checks_bits, "PHILOX_ANSWERS", (((0, 0, 0, 0), (0, 0), (1, 2, 3, 4)),))
    assert not checks_bits.random_checks()[0].passed


def test_one_range_out_of_line_is_not_smooth():
    energies = (70.0, 100.0, 130.0, 160.0, 200.0, 230.0)
    many = [Line(energy_mev=e, deficit_mm=0.05 + 2e-3 * (e - 70.0) + 2e-6 * e**2) for e in energies]
    (smooth,) = checks_depth.smoothness_check(many)
    assert smooth.value == pytest.approx(0.0, abs=1e-9)
    many[3] = Line(energy_mev=160.0, deficit_mm=many[3].deficit_mm + 0.3)
    assert not checks_depth.smoothness_check(many)[0].passed
    assert checks_depth.smoothness_check(many[:4]) == []


class Line:
    """An energy with its CSDA range less R80."""

    def __init__(self, *, energy_mev, deficit_mm):
        self.energy_mev, self.deficit_mm = energy_mev, deficit_mm


def test_a_beam_without_a_range_passes_nothing(monkeypatch):
    """A range that cannot be read is no value, and no value never passes."""
    trial = checks_depth.depth_trial(QUICK, 150.0, 200)
    monkeypatch.setattr(type(trial.result), "range_mm", lambda *_: None)
    assert [check.value for check in checks_depth.range_checks(trial)] == [None, None]
    assert not any(check.passed for check in checks_depth.range_checks(trial))


def test_a_run_that_is_cancelled_gives_no_outcome():
    from protonqa.errors import Cancelled

    with pytest.raises(Cancelled):
        commission_analysis(MonteCarlo(), quick=True, cancel=lambda: True)


def test_protons_of_a_depth_dose_are_so_many_that_the_books_noise_does_not_decide():
    from protonqa.analyses.montecarlo.outputs import BALANCE_LIMIT_PERCENT, balance_noise_percent

    assert BALANCE_LIMIT_PERCENT == 0.1
    for protons in (commissioning.DEPTH_PROTONS, commissioning.QUICK_DEPTH_PROTONS):
        assert 3.0 * balance_noise_percent(protons) < BALANCE_LIMIT_PERCENT


def test_gamma_counts_what_differs_by_more_than_a_percent_and_a_millimetre():
    depth, dose = independent_depth_dose(150.0)
    assert gamma_share(depth, dose, depth, dose) == 1.0
    assert gamma_share(depth, 1.008 * dose, depth, dose) == 1.0
    assert gamma_share(depth + 0.9, dose, depth, dose) > 0.99
    assert gamma_share(depth, 1.08 * dose, depth, dose) < 0.7
    assert gamma_share(depth + 2.0, dose, depth, dose) < 0.97


def test_facts_of_a_curve_follow_when_it_is_moved_or_scaled():
    depth, dose = independent_depth_dose(200.0)
    facts = curve_facts(depth, dose)
    assert facts.r80_mm == pytest.approx(259.5, abs=0.6)
    assert facts.deposited_mev == pytest.approx(200.0 * 0.94, rel=0.01)
    moved = curve_facts(depth + 1.0, dose)
    assert moved.r80_mm - facts.r80_mm == pytest.approx(1.0, abs=1e-6)
    assert moved.falloff_mm == pytest.approx(facts.falloff_mm, abs=1e-6)
    scaled = curve_facts(depth, 2.0 * dose)
    assert scaled.peak_to_entrance == pytest.approx(facts.peak_to_entrance)
    assert scaled.deposited_mev == pytest.approx(2.0 * facts.deposited_mev)


@pytest.mark.parametrize("column_mm", [0.25, 1.0, 2.0])
def test_the_width_of_the_columns_does_not_widen_a_spread(column_mm):
    fine = (np.arange(8000) - 3999.5) * 0.01
    curve = np.exp(-0.5 * (fine / 1.7) ** 2)
    bins = round(column_mm / 0.01)
    counts, x = (v[: v.size // bins * bins].reshape(-1, bins) for v in (curve, fine))
    assert gaussian_core_sigma_mm(counts.sum(axis=1), x.mean(axis=1)) == pytest.approx(1.7, rel=2e-3)
