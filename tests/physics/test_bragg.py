"""The analytic pencil beam: ranges, energy balance, special functions and lateral spread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import gamma

from protonqa.errors import InputError
from protonqa.physics import bragg
from protonqa.physics.bragg import depth_dose_mev_cm2_per_g, lateral_sigma_mm, mean_residual_power, range_sigma_mm
from protonqa.physics.stopping import csda_range_water_mm, stopping_power_water

ENERGIES = (70.0, 100.0, 150.0, 200.0, 230.0)


def distal_crossing_mm(depth_mm: np.ndarray, dose: np.ndarray, level: float) -> float:
    """Most distal crossing of `level` times the maximum."""
    last = int(np.flatnonzero(dose >= level * dose.max())[-1])
    return float(np.interp(level * dose.max(), dose[[last + 1, last]], depth_mm[[last + 1, last]]))


def fine_curve(energy_mev: float, spread_percent: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    depth = np.arange(0.0, float(csda_range_water_mm(energy_mev)) + 40.0, 0.05)
    return depth, depth_dose_mev_cm2_per_g(depth, energy_mev, energy_spread_percent=spread_percent)


@pytest.mark.parametrize("spread_percent", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("energy_mev", ENERGIES)
def test_distal_80_percent_lies_at_the_csda_range(energy_mev: float, spread_percent: float) -> None:
    depth, dose = fine_curve(energy_mev, spread_percent)
    assert distal_crossing_mm(depth, dose, 0.8) == pytest.approx(float(csda_range_water_mm(energy_mev)), abs=0.1)


@pytest.mark.parametrize("energy_mev", ENERGIES)
def test_deposited_energy_is_the_beam_energy_less_what_nuclear_interactions_carry_away(energy_mev: float) -> None:
    depth, dose = fine_curve(energy_mev)
    range_cm = float(csda_range_water_mm(energy_mev)) / 10.0
    # Energy of the protons lost at each depth, integrated over the power law; the share 1 - gamma leaves.
    slope = bragg.FLUENCE_SLOPE_PER_CM / (1.0 + bragg.FLUENCE_SLOPE_PER_CM * range_cm)
    exponent = bragg.RANGE_EXPONENT / (bragg.RANGE_EXPONENT + 1.0)
    kept = 1.0 - (1.0 - bragg.LOCAL_NUCLEAR_SHARE) * slope * range_cm * exponent
    assert np.trapezoid(dose, depth / 10.0) / energy_mev == pytest.approx(kept, abs=0.002)
    assert 0.90 < kept < 1.0


@pytest.mark.parametrize(("energy_mev", "width_mm"), [(70, 0.73), (100, 1.26), (150, 2.31), (200, 3.71)])
def test_fall_off_of_a_mono_energetic_beam_is_that_of_range_straggling(energy_mev: float, width_mm: float) -> None:
    # Widths 80-20 % of a Monte Carlo with Gaussian straggling, in 1 mm voxels.
    depth, dose = fine_curve(energy_mev)
    width = distal_crossing_mm(depth, dose, 0.2) - distal_crossing_mm(depth, dose, 0.8)
    assert width == pytest.approx(width_mm, rel=0.2)


@pytest.mark.parametrize("energy_mev", ENERGIES)
def test_entrance_dose_is_the_stopping_power_and_the_locally_absorbed_nuclear_energy(energy_mev: float) -> None:
    ratio = depth_dose_mev_cm2_per_g(0.0, energy_mev) / stopping_power_water(energy_mev)
    assert 1.0 < ratio < 1.3


@pytest.mark.parametrize("exponent", [1 / 1.77 - 1.0, 1 / 1.77])
@pytest.mark.parametrize("zeta", [-6.0, -2.0, 0.0, 1.5, 5.0, 9.99, 10.01, 14.0])
def test_gaussian_mean_of_a_power_equals_its_integral(exponent: float, zeta: float) -> None:
    # u = r^a removes the singularity of r^(a-1) at the end of the range.
    a = exponent + 1.0
    top = (max(zeta, 0.0) + 12.0) ** a
    breaks = [(zeta + k) ** a for k in (-4, 0, 4) if zeta + k > 0]

    def integrand(u: float) -> float:
        return float(np.exp(-((u ** (1 / a) - zeta) ** 2) / 2))

    integral = quad(integrand, 0, top, points=breaks, epsrel=1e-11, epsabs=0, limit=500)
    expected = integral[0] / a / np.sqrt(2 * np.pi)
    assert mean_residual_power(zeta, exponent) == pytest.approx(expected, rel=1e-7, abs=0)


def test_power_zero_is_the_normal_distribution_and_far_from_the_end_it_is_the_power_itself() -> None:
    assert mean_residual_power(0.0, 0.0) == pytest.approx(0.5)
    assert mean_residual_power(0.0, 1.0) == pytest.approx(gamma(2.0) / np.sqrt(2 * np.pi))
    assert mean_residual_power(500.0, -0.4) == pytest.approx(500.0**-0.4, rel=1e-5)
    assert mean_residual_power(-1000.0, -0.4) == 0.0


@settings(max_examples=40, deadline=None)
@given(energy_mev=st.floats(20.0, 300.0), spread_percent=st.floats(0.0, 2.0))
def test_curve_is_finite_and_not_negative_everywhere_and_falls_behind_its_peak(
    energy_mev: float, spread_percent: float
) -> None:
    depth = np.linspace(-5.0, 700.0, 1411)
    dose = depth_dose_mev_cm2_per_g(depth, energy_mev, energy_spread_percent=spread_percent)
    assert np.isfinite(dose).all()
    assert (dose >= 0).all()
    behind = dose[int(np.argmax(dose)) :]
    assert (np.diff(behind) <= 1e-12).all()
    assert dose[-1] < 1e-15 * dose.max()


def test_energy_spread_adds_in_quadrature_to_straggling() -> None:
    alone, both = range_sigma_mm(150.0), range_sigma_mm(150.0, 1.0)
    spread = 1.77 * float(csda_range_water_mm(150.0)) * 0.01
    assert both**2 == pytest.approx(alone**2 + spread**2)
    # Bortfeld's 0.012 R^0.935 cm is 1.0 to 1.2 % of the range.
    assert 0.009 < alone / csda_range_water_mm(150.0) < 0.012


@pytest.mark.parametrize("energy_mev", [70.0, 150.0, 230.0])
def test_lateral_spread_follows_the_universal_curve_of_water(energy_mev: float) -> None:
    # Preston and Koehler (1968): sigma(z)/sigma(R) is one function of t = z/R; sigma(R) is about 2.2 % of R.
    range_mm = float(csda_range_water_mm(energy_mev))
    t = np.array([0.3, 0.5, 0.7, 0.9])
    universal = np.sqrt(2 * (1 - t) ** 2 * np.log(1 / (1 - t)) + 3 * t**2 - 2 * t)
    at_end = float(lateral_sigma_mm(range_mm, energy_mev))
    assert 0.020 < at_end / range_mm < 0.024
    assert lateral_sigma_mm(t * range_mm, energy_mev) / at_end == pytest.approx(universal, abs=0.05)
    assert lateral_sigma_mm(0.0, energy_mev) == 0.0


@pytest.mark.parametrize(("energy_mev", "spread_percent"), [(5.0, 0.0), (400.0, 0.0), (np.nan, 0.0), (100.0, -1.0)])
def test_energies_outside_the_validity_range_are_refused(energy_mev: float, spread_percent: float) -> None:
    with pytest.raises(InputError, match="outside the analytic depth dose"):
        depth_dose_mev_cm2_per_g([0.0, 10.0], energy_mev, energy_spread_percent=spread_percent)
