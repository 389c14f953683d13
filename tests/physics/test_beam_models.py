"""Beam models: the generic table and a clinic's own CSV."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.errors import CalibrationError
from protonqa.physics.beam_models import COLUMNS, beam_model_findings, generic_beam_model, parse_beam_model
from protonqa.physics.stopping import stopping_power_water
from protonqa.tables import table_header
from protonqa.values import Severity

HEAD = ",".join(COLUMNS)
ROWS = "100,100.4,0.9,4.5,4.6,2,2.1,1.1e8\n150,150.2,0.7,3.6,3.7,1.8,1.9,1.5e8\n"


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
    (finding,) = beam_model_findings(generic_beam_model())
    assert finding.code == "BEAM-MODEL-GENERIC"
    assert finding.severity is Severity.WARNING
    assert beam_model_findings(parse_beam_model(f"{HEAD}\n{ROWS}")) == ()


def test_generic_table_states_its_source_and_licence() -> None:
    header = table_header("generic_beam_model.csv")
    assert {"title", "unit", "source", "year", "licence"} <= set(header)
    assert "assumption" in header["source"]


def test_own_model_is_read_with_its_header_lines() -> None:
    text = f"\ufeff# name: room 2\n# virtual_sad_mm: 1900, 2300\n# range_shifter_wet_mm RS50: 51.3\n{HEAD}\n{ROWS}"
    model = parse_beam_model(text)
    assert model.name == "room 2"
    assert not model.generic
    assert model.virtual_sad_mm == (1900.0, 2300.0)
    assert model.range_shifter_wet_mm == (("RS50", 51.3),)
    assert model.at(125.0)["mean_mev"] == pytest.approx(125.3)
    assert model.at(100.0)["divergence_y_mrad"] == pytest.approx(2.1)
    assert parse_beam_model(f"{HEAD}\n{ROWS}", name="file.csv").name == "file.csv"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing: nominal_mev"),
        (f"{HEAD},comment\n", "unknown: comment"),
        (f"{HEAD}\n", "energies do not increase"),
        (f"{HEAD}\n100,100,1,4,4,2,2\n", "protons_per_mu is not a number"),
        (f"{HEAD}\n100,100,1,4,4,2,2,nan\n", "protons_per_mu is not a number"),
        (f"{HEAD}\n100,5,100,1,4,4,2,2,1e8\n", "decimal point, not a comma"),
        (f"{HEAD}\n100,100,1,-4,4,2,2,1e8\n", "impossible sigma_x_mm"),
        (f"{HEAD}\n{ROWS}100,100,1,4,4,2,2,1e8\n", "energies do not increase"),
        (f"# virtual_sad_mm: 2000\n{HEAD}\n{ROWS}", "not two numbers"),
        (f"# virtual_sad_mm: 0 2000\n{HEAD}\n{ROWS}", "virtual SAD is not positive"),
        (f"# range_shifter_wet_mm A: thick\n{HEAD}\n{ROWS}", "A is not a number"),
    ],
)
def test_a_damaged_model_file_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        parse_beam_model(text)


def test_energies_outside_the_model_are_not_extrapolated() -> None:
    with pytest.raises(CalibrationError, match="outside the beam model"):
        generic_beam_model().at(60.0)
