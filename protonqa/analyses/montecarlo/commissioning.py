"""The acceptance test of the Monte Carlo in water and PMMA, measured against stated limits.

Speed is not among them: it depends on the computer and belongs to the benchmark. That neither range nor spread depends
on the steps of scattering needs another compiled engine and belongs to the tests.
"""

from __future__ import annotations

from protonqa.analyses.interface import Check, Commissioning, Context
from protonqa.analyses.montecarlo import checks_bits, checks_depth, checks_spread, checks_yields
from protonqa.analyses.montecarlo.commissioning_figures import figures
from protonqa.analyses.montecarlo.params import MonteCarloParams
from protonqa.analyses.montecarlo.trials import Trials

#: Protons of a depth dose: the energy book of a single history closes within 5 to 12 % (1 SD), stated as 16 %.
DEPTH_PROTONS, QUICK_DEPTH_PROTONS, RANGE_PROTONS = 600_000, 300_000, 400_000
#: Share of the work that is done when a part begins.
_SPREAD_FROM, _YIELDS_FROM, _CUTS_FROM, _BITS_FROM, _ALL = 60, 80, 90, 98, 100


def commission(context: Context[MonteCarloParams]) -> Commissioning:
    """All checks; `quick` takes fewer protons and energies and the same limits."""
    from protonqa.montecarlo.simulation import compile_kernels

    trials = Trials.of(context)
    context.progress(0, _ALL, "compiling")
    compile_kernels(trials.device)
    checks = checks_bits.random_checks()
    depths = _depth_trials(context, trials)
    checks += _depth_checks(depths)
    context.progress(_SPREAD_FROM, _ALL, "lateral spread")
    spreads = checks_spread.spread_trials(trials)
    checks += checks_spread.spread_checks(spreads)
    context.progress(_YIELDS_FROM, _ALL, "nuclide yields")
    yields = checks_yields.yield_trials(trials)
    checks += checks_yields.yield_checks(yields)
    context.progress(_CUTS_FROM, _ALL, "other voxels")
    checks += checks_spread.cut_checks(trials)
    context.progress(_BITS_FROM, _ALL, "threads")
    checks += checks_bits.thread_checks(trials)
    tables = (
        checks_depth.depth_table(depths),
        checks_spread.spread_table(spreads),
        checks_yields.yield_table(yields),
    )
    return Commissioning(checks=tuple(checks), tables=tables, figures=figures(depths, spreads, yields))


def _depth_trials(context: Context[MonteCarloParams], trials: Trials) -> list[checks_depth.DepthTrial]:
    """Depth doses in water, energy by energy."""
    compared = checks_depth.QUICK_MEV if trials.quick else checks_depth.DEPTH_DOSE_MEV
    energies = sorted((*compared, *(() if trials.quick else checks_depth.RANGE_MEV)))
    many = []
    for done, energy_mev in enumerate(energies):
        context.progress(_SPREAD_FROM * done / len(energies), _ALL, f"depth dose at {energy_mev:g} MeV")
        whole = trials.fewer(DEPTH_PROTONS, QUICK_DEPTH_PROTONS)
        many.append(checks_depth.depth_trial(trials, energy_mev, whole if energy_mev in compared else RANGE_PROTONS))
    return many


def _depth_checks(many: list[checks_depth.DepthTrial]) -> list[Check]:
    """Everything that a depth dose in water shows."""
    checks: list[Check] = []
    for trial in many:
        checks += checks_depth.range_checks(trial)
        if trial.energy_mev in checks_depth.DEPTH_DOSE_MEV:
            checks += checks_depth.energy_checks(trial) + checks_depth.independent_checks(trial)
    return checks + checks_depth.smoothness_check(many)
