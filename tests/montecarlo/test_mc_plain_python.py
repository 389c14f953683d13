"""Tiny cases for the kernels, cheap enough to run as plain Python (NUMBA_DISABLE_JIT=1) and measure their coverage."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.montecarlo.simulation import simulate
from protonqa.physics.stopping import csda_range_water_mm

#: Spread of the energy book of one history, as a share of its energy (200 MeV), with room.
BOOK_SD = 0.2


def test_a_few_protons_stop_at_their_range_and_keep_their_energy(make_medium, make_beam):
    medium = make_medium(size_mm=(40, 40, 40), spacing_mm=(4.0, 4.0, 4.0))
    result = simulate(medium=medium, source=make_beam(medium, 40.0), protons=30, seed=1, threads=1, nuclear=False)
    assert sum(result.energy_balance.values()) == pytest.approx(1.0, abs=1e-5)
    assert result.energy_balance["deposited"] == pytest.approx(1.0, abs=1e-5)
    depth = result.fine_depth_mm[result.fine_idd_mev_per_mm > 0.1].max()
    assert depth == pytest.approx(float(csda_range_water_mm(40.0)), abs=1.0)


def test_every_kind_of_nuclear_event_is_booked(make_medium, make_beam):
    """Protons of 200 MeV through bone: p-p, elastic and break-up events all occur and escape is booked."""
    medium = make_medium("bone", size_mm=(40, 40, 60), spacing_mm=(4.0, 4.0, 4.0))
    protons = 120
    result = simulate(medium=medium, source=make_beam(medium, 200.0, sigma_mm=4.0), protons=protons, seed=3, threads=1)
    balance = result.energy_balance
    # Neutrals are booked as their mean share: the book of a few protons closes within its statistics only.
    assert sum(balance.values()) == pytest.approx(1.0, abs=4.0 * BOOK_SD / np.sqrt(protons))
    assert min(balance["neutral"], balance["binding"], balance["escaped"]) > 0.0
    assert np.all(result.nuclei >= 0)
    assert result.nuclides_per_mm[6].sum() > 0  # 38K from calcium


def test_a_stated_error_and_the_beam_quality_of_a_few_protons(make_medium, make_beam):
    medium = make_medium(size_mm=(16, 16, 24), spacing_mm=(4.0, 4.0, 4.0))
    result = simulate(
        medium=medium,
        source=make_beam(medium, 40.0),
        protons=41,
        seed=1,
        threads=2,
        uncertainty=True,
        beam_quality=True,
    )
    assert result.dose_error is not None
    assert result.let_kev_per_um is not None
    hot = result.dose_water_gy > 0.5 * result.dose_water_gy.max()
    assert np.all((result.dose_error[hot] > 0.0) & (result.dose_error[hot] < 1.0))
    assert result.let_kev_per_um[hot].min() > 0.9
    assert result.let_kev_per_um[hot].max() < 60.0
