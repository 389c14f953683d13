"""Secondaries and elastic angles after ICRU 63: bounds, energy balance, and that sampling gives back the means."""

from __future__ import annotations

import csv
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protonqa.errors import InputError
from protonqa.physics.constants import PROTON_MASS_MEV
from protonqa.physics.nuclear import mean_elastic_transfer_mev
from protonqa.physics.nuclear_events import (
    PARTICLES,
    EnergyShares,
    NonElasticTables,
    elastic_tables,
    elastic_transfer_mev,
    mean_cosine,
    mean_elastic_transfer_tabulated_mev,
    mean_shares,
    nonelastic_tables,
    separation_cost_mev,
)
from protonqa.tables import table_rows

ELEMENTS = ("C", "N", "O", "Al", "Si", "P", "Ca")
REFERENCE_NAMES = ("carbon", "nitrogen", "oxygen", "aluminium", "silicon", "phosphorus", "calcium")
NEUTRON_EXCESS_MEV, PROTON_EXCESS_MEV = 8.071318, 7.288971


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One interaction: per particle kind its energies (MeV) and cosines, and the recoil energy."""

    energy_mev: tuple[np.ndarray, np.ndarray, np.ndarray]
    cosine: tuple[np.ndarray, np.ndarray, np.ndarray]
    recoil_mev: float


def draw_energy_fraction(table: NonElasticTables, at: tuple[int, int, int], u: np.ndarray) -> np.ndarray:
    return np.interp(u, np.linspace(0.0, 1.0, 33), table.edge[at])


def draw_cosine(slope: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Inverse of the distribution function of exp(a cos theta)."""
    a = np.where(np.abs(slope) < 1e-3, 1e-3, slope)
    return 1.0 + np.log(u + (1.0 - u) * np.exp(-2.0 * a)) / a


def sample_event(element: str, energy_mev: float, rng: np.random.Generator) -> Event:
    """A reference event at the node nearest to an energy; whole numbers of particles with the right mean."""
    table = nonelastic_tables()
    row, node = table.row(element), int(np.argmin(np.abs(table.energy_mev - energy_mev)))
    energies, cosines = [], []
    for particle in range(3):
        at = (row, node, particle)
        count = int(table.multiplicity[at] + rng.random())
        u = rng.random(count)
        bins = np.minimum((u * 32).astype(int), 31)
        energies.append(energy_mev * draw_energy_fraction(table, at, u))
        cosines.append(draw_cosine(table.slope[at][bins], rng.random(count)))
    return Event(
        energy_mev=(energies[0], energies[1], energies[2]),
        cosine=(cosines[0], cosines[1], cosines[2]),
        recoil_mev=float(energy_mev * table.recoil[row, node]),
    )


def parts(shares: EnergyShares) -> np.ndarray:
    return np.array([shares.proton, shares.deuteron, shares.alpha, shares.recoil, shares.neutral])


def test_both_tables_stand_on_one_grid_of_the_same_elements() -> None:
    nonelastic, elastic = nonelastic_tables(), elastic_tables()
    assert nonelastic.elements == elastic.elements == ELEMENTS
    assert np.array_equal(nonelastic.energy_mev, elastic.energy_mev)
    assert nonelastic.energy_mev[0] == 7.0
    assert nonelastic.energy_mev[-1] == 250.0
    assert np.all(np.diff(nonelastic.energy_mev) > 0.0)
    n_el, n_e = len(ELEMENTS), nonelastic.energy_mev.size
    assert nonelastic.multiplicity.shape == (n_el, n_e, 3)
    assert nonelastic.edge.shape == (n_el, n_e, 3, 33)
    assert nonelastic.slope.shape == (n_el, n_e, 3, 32)
    assert nonelastic.recoil.shape == (n_el, n_e)
    assert elastic.cosine.shape == (n_el, n_e, 49)


def test_no_row_of_a_table_is_missing() -> None:
    """A gap would read as a particle of no energy, or as an angle of zero."""
    n_e = nonelastic_tables().energy_mev.size
    keys = {(r["element"], r["energy_mev"], r["particle"]) for r in table_rows("nuclear_secondaries.csv")}
    angles = {(r["element"], r["energy_mev"]) for r in table_rows("nuclear_elastic_angles.csv")}
    assert len(keys) == len(table_rows("nuclear_secondaries.csv")) == len(ELEMENTS) * n_e * 3
    assert len(angles) == len(table_rows("nuclear_elastic_angles.csv")) == len(ELEMENTS) * n_e


def test_tables_cannot_be_changed_by_who_reads_them() -> None:
    with pytest.raises(ValueError, match="read-only"):
        nonelastic_tables().edge[0, 0, 0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        elastic_tables().cosine[0, 0, 0] = 1.0


def test_quantiles_rise_and_no_secondary_has_more_than_the_incident_energy() -> None:
    table = nonelastic_tables()
    assert np.all(np.diff(table.edge, axis=-1) > 0.0)
    assert table.edge.min() >= 0.0
    assert table.edge.max() <= 1.0


def test_elastic_angles_rise_from_a_few_degrees_and_stay_angles() -> None:
    cosine = elastic_tables().cosine
    assert np.all(np.diff(cosine, axis=-1) < 0.0)
    assert cosine.min() >= -1.0
    smallest = np.degrees(np.arccos(cosine[..., 0]))
    assert np.all((smallest > 1.0) & (smallest < 5.0))


@pytest.mark.parametrize("element", ELEMENTS)
def test_energy_is_never_created_and_something_is_left_for_neutrals(element: str) -> None:
    energy = np.linspace(7.0, 300.0, 600)
    shares = mean_shares(element, energy)
    assert parts(shares).min() >= 0.0
    assert np.allclose(parts(shares).sum(axis=0), 1.0)
    assert shares.neutral.min() > 0.2


@pytest.mark.parametrize("element", ELEMENTS)
def test_neutral_share_pays_for_the_separation_of_the_charged_particles(element: str) -> None:
    """Binding energy has nowhere else to come from: above 70 MeV the mean cost must fit into what is left."""
    table = nonelastic_tables()
    row, above = table.row(element), table.energy_mev >= 70.0
    further = np.maximum(table.multiplicity[row] - np.array([1.0, 0.0, 0.0]), 0.0)
    cost = (further @ table.binding_mev[row])[above] / table.energy_mev[above]
    assert np.all(cost < mean_shares(element, table.energy_mev[above]).neutral)


def test_shares_are_zero_below_the_threshold_and_constant_above_the_table() -> None:
    assert np.all(parts(mean_shares("O", [1.0, 6.99])) == 0.0)
    assert np.allclose(parts(mean_shares("O", 250.0)), parts(mean_shares("O", 290.0)))
    assert mean_elastic_transfer_tabulated_mev("O", 6.9) == 0.0


@pytest.mark.parametrize(("energy_mev", "recoil"), [(7.0, 0.0599), (100.0, 0.0336), (160.0, 0.0237)])
def test_recoil_share_of_oxygen_is_that_of_icru_63(energy_mev: float, recoil: float) -> None:
    assert mean_shares("O", energy_mev).recoil == pytest.approx(recoil, abs=2e-4)


@pytest.mark.parametrize(
    ("energy_mev", "proton", "deuteron", "alpha"),
    [(50.0, 1.212, 0.1769, 0.7781), (100.0, 1.692, 0.2782, 0.8141), (200.0, 2.165, 0.4281, 0.8532)],
)
def test_multiplicities_of_oxygen_are_those_of_icru_63(
    energy_mev: float, proton: float, deuteron: float, alpha: float
) -> None:
    table = nonelastic_tables()
    node = int(np.searchsorted(table.energy_mev, energy_mev))
    assert table.multiplicity[table.row("O"), node] == pytest.approx([proton, deuteron, alpha], rel=1e-3)


@pytest.mark.parametrize(
    ("energy_mev", "proton", "deuteron", "alpha"),
    [(50.0, 0.3793, 0.0710, 0.0790), (100.0, 0.4165, 0.0915, 0.0583), (200.0, 0.4690, 0.0983, 0.0444)],
)
def test_energy_shares_of_oxygen_are_the_integrals_of_the_published_spectra(
    energy_mev: float, proton: float, deuteron: float, alpha: float
) -> None:
    """Trapezoid integrals of energy times spectrum over cross section, made straight from the source's columns."""
    shares = mean_shares("O", energy_mev)
    assert [shares.proton, shares.deuteron, shares.alpha] == pytest.approx([proton, deuteron, alpha], rel=0.015)


def test_packaged_tables_agree_with_the_reference_data(reference_data) -> None:
    """Multiplicities here, cross sections and recoils there come from one evaluation."""
    names = dict(zip(ELEMENTS, REFERENCE_NAMES, strict=True))
    with (reference_data / "physics" / "nuclear_icru63_mcsquare.csv").open(encoding="utf-8") as file:
        reference = {
            (row["target"], float(row["energy_MeV"])): row
            for row in csv.DictReader(line for line in file if not line.startswith("#"))
        }
    for row in table_rows("nuclear_icru63.csv"):
        expected = reference[names[row["element"]], float(row["energy_mev"])]
        for ours, theirs in (("elastic_mb", "elastic_mb"), ("nonelastic_mb", "nonelastic_mb")):
            assert float(row[ours]) == pytest.approx(float(expected[theirs]), rel=1e-3)
        assert float(row["recoil_fraction"]) == pytest.approx(float(expected["recoil_energy_fraction"]), rel=1e-3)
    table = nonelastic_tables()
    seen = 0
    for row, element in enumerate(ELEMENTS):
        for node, energy in enumerate(table.energy_mev):
            expected = reference.get((names[element], float(energy)))
            if expected is not None:
                numbers = [float(expected[f"mult_{kind}"] or 0.0) for kind in ("proton", "deuteron", "alpha")]
                assert table.multiplicity[row, node] == pytest.approx(numbers, rel=1e-3, abs=1e-6)
                seen += 1
    assert seen > 180


@pytest.mark.parametrize("particle", range(3), ids=PARTICLES)
@pytest.mark.parametrize(("element", "energy_mev"), [("O", 20.0), ("O", 150.0), ("C", 100.0), ("Ca", 250.0)])
def test_sampling_gives_back_mean_energy_and_mean_cosine(element: str, energy_mev: float, particle: int) -> None:
    table = nonelastic_tables()
    at = (table.row(element), int(np.searchsorted(table.energy_mev, energy_mev)), particle)
    rng = np.random.default_rng(63 + particle)
    u = rng.random(200_000)
    fraction = draw_energy_fraction(table, at, u)
    cosine = draw_cosine(table.slope[at][np.minimum((u * 32).astype(int), 31)], rng.random(u.size))
    edge = table.edge[at]
    assert fraction.mean() == pytest.approx(np.mean(0.5 * (edge[1:] + edge[:-1])), rel=0.01)
    assert cosine.mean() == pytest.approx(mean_cosine(table.slope[at]).mean(), abs=0.01)
    assert np.all(np.abs(cosine) <= 1.0)


def test_sampled_events_of_oxygen_keep_the_mean_energy_budget() -> None:
    rng = np.random.default_rng(16)
    events = [sample_event("O", 150.0, rng) for _ in range(8000)]
    mean = [np.mean([event.energy_mev[k].sum() for event in events]) / 150.0 for k in range(3)]
    shares = mean_shares("O", 150.0)
    assert mean == pytest.approx(parts(shares)[:3], rel=0.05)
    assert events[0].recoil_mev == pytest.approx(150.0 * float(shares.recoil))


def test_fast_secondaries_fly_forward_and_slow_ones_from_heavy_nuclei_almost_evenly() -> None:
    """Knocked-out protons follow the beam; evaporated ones forget it."""
    table = nonelastic_tables()
    node = int(np.searchsorted(table.energy_mev, 150.0))
    cosine = mean_cosine(table.slope[:, node, 0])
    assert np.all(cosine[:, -1] > 0.85)
    assert np.all(cosine[:, 0] < 0.4)
    assert abs(cosine[table.row("Ca"), 0]) < 0.1


@given(st.floats(-40.0, 40.0))
def test_mean_cosine_is_odd_and_bounded(slope: float) -> None:
    value = float(mean_cosine(slope))
    assert -1.0 < value < 1.0
    assert float(mean_cosine(-slope)) == pytest.approx(-value, abs=1e-9)


def test_mean_cosine_matches_its_integral() -> None:
    mu = np.linspace(-1.0, 1.0, 20001)
    for slope in (-2.5, 0.0, 0.0005, 0.7, 12.0):
        weight = np.exp(slope * (mu - 1.0))
        expected = np.trapezoid(mu * weight, mu) / np.trapezoid(weight, mu)
        assert float(mean_cosine(slope)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("cosine", [-1.0, -0.3, 0.5, 0.999])
@pytest.mark.parametrize("energy_mev", [7.0, 70.0, 250.0])
def test_elastic_transfer_is_what_the_boost_back_to_the_laboratory_gives(energy_mev: float, cosine: float) -> None:
    mass = elastic_tables().target_mass_mev[elastic_tables().row("O")]
    total = energy_mev + PROTON_MASS_MEV + mass
    momentum = np.sqrt(energy_mev * (energy_mev + 2.0 * PROTON_MASS_MEV))
    beta = momentum / total
    gamma = 1.0 / np.sqrt(1.0 - beta**2)
    momentum_cm = gamma * beta * mass  # the target at rest moves with -beta in the centre of mass
    energy_cm = np.hypot(momentum_cm, mass)
    expected = gamma * (energy_cm - beta * momentum_cm * cosine) - mass
    assert float(elastic_transfer_mev(energy_mev, mass, cosine)) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_mean_elastic_transfer_on_oxygen_agrees_with_the_published_fit() -> None:
    """Fippel & Soukup (2004) fitted the same quantity; theirs has no fall above 200 MeV."""
    energy = np.array([20.0, 50.0, 100.0, 150.0, 200.0])
    assert mean_elastic_transfer_tabulated_mev("O", energy) == pytest.approx(
        mean_elastic_transfer_mev(energy, 15.999), rel=0.13
    )


@pytest.mark.parametrize(
    ("element", "numbers", "cost_mev"),
    [
        ("O", (1, 0, 0), 0.0),
        ("O", (2, 0, 0), 12.1274),
        ("O", (0, 1, 0), 13.4390),
        ("O", (0, 0, 1), 5.2184),
        ("O", (1, 0, 1), 7.1619),
        ("C", (1, 0, 1), 7.3666),
        ("C", (2, 0, 0), 15.9569),
        ("Al", (0, 0, 1), -1.6007),
        ("Ca", (2, 0, 0), 8.3284),
    ],
)
def test_separation_costs_are_the_published_reaction_energies(
    element: str, numbers: tuple[int, int, int], cost_mev: float
) -> None:
    """Separation energies and Q values of AME2020, in MeV."""
    assert separation_cost_mev(element, *numbers) == pytest.approx(cost_mev, abs=2e-3)


def test_pickup_of_a_neutron_gives_back_the_deuteron_binding() -> None:
    """-Q(p, d) = S_n - 2.2246 MeV holds for every target."""
    rows = {r["nuclide"]: float(r["mass_excess_kev"]) / 1000.0 for r in table_rows("nuclear_masses.csv")}
    pairs = {"C": ("C12", "C11"), "N": ("N14", "N13"), "O": ("O16", "O15"), "Al": ("Al27", "Al26")}
    pairs |= {"Si": ("Si28", "Si27"), "P": ("P31", "P30"), "Ca": ("Ca40", "Ca39")}
    for element, (target, rest) in pairs.items():
        neutron = rows[rest] + NEUTRON_EXCESS_MEV - rows[target]
        assert separation_cost_mev(element, 0, 1, 0) == pytest.approx(neutron - 2.22457, abs=1e-4)
    assert [rows["n"], rows["H1"]] == pytest.approx([NEUTRON_EXCESS_MEV, PROTON_EXCESS_MEV])


def test_nothing_emitted_costs_nothing_and_further_particles_add_up() -> None:
    table = nonelastic_tables()
    assert separation_cost_mev("O", 0, 0, 0) == 0.0
    assert separation_cost_mev("O", 3, 1, 1) == pytest.approx(float(np.array([2, 1, 1]) @ table.binding_mev[2]))


def test_element_without_table_and_negative_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="no table of nuclear events"):
        mean_shares("H", 100.0)
    with pytest.raises(InputError, match="no table of nuclear events"):
        elastic_tables().row("Fe")
    with pytest.raises(InputError, match="negative"):
        separation_cost_mev("O", -1, 0, 0)
