"""The generic beam model: trends of a scanning nozzle, stated assumptions, a finding when used."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.errors import CalibrationError
from protonqa.physics.beam_models import beam_model_findings, generic_beam_model
from protonqa.physics.stopping import stopping_power_water
from protonqa.tables import table_header
from protonqa.values import BeamModel, Severity


def test_generic_model_covers_70_to_230_mev_with_the_trends_of_a_scanning_nozzle() -> None:
    model = generic_beam_model()
    assert (model.nominal_mev[0], model.nominal_mev[-1]) == (70.0, 230.0)
    assert (np.diff(model.sigma_x_mm) < 0).all()
    assert model.sigma_x_mm[[0, -1]] == pytest.approx([6.0, 3.0])
    assert (np.diff(model.spread_percent) < 0).all()
    assert (np.diff(model.protons_per_mu) > 0).all()
    assert model.virtual_sad_mm == (2000.0, 2000.0)


def test_generic_monitor_unit_is_a_fixed_ionisation() -> None:
    # Protons per MU times stopping power is the charge in a chamber of fixed gap: constant over energy.
    model = generic_beam_model()
    ionisation = model.protons_per_mu * stopping_power_water(model.mean_mev)
    assert ionisation / ionisation.mean() == pytest.approx(np.ones(ionisation.size), abs=2e-3)
    assert model.at(150.0)["protons_per_mu"] == pytest.approx(1.5e8, rel=1e-3)


def test_use_of_the_generic_model_is_a_finding_and_a_clinics_own_is_none() -> None:
    model = generic_beam_model()
    (finding,) = beam_model_findings(model)
    assert finding.code == "BEAM-MODEL-GENERIC"
    assert finding.severity is Severity.WARNING
    one = {name: [1.0] for name in ("sigma_x_mm", "sigma_y_mm", "divergence_x_mrad", "divergence_y_mrad")}
    own = BeamModel(nominal_mev=[100.0], mean_mev=[100.2], spread_percent=[0.8], protons_per_mu=[1e8], **one)
    assert beam_model_findings(own) == ()


def test_generic_table_states_its_source_and_licence() -> None:
    header = table_header("generic_beam_model.csv")
    assert {"title", "unit", "source", "year", "licence"} <= set(header)
    assert "assumption" in header["source"]


def test_energies_outside_the_model_are_not_extrapolated() -> None:
    with pytest.raises(CalibrationError, match="outside the beam model"):
        generic_beam_model().at(60.0)
