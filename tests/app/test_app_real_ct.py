"""The whole chain on a real abdomen CT: plan at the liver, simulate, PET as DICOM, verify.

The CT is never used for training, tuning or calibration.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from protonqa.analyses.forward import FieldSimulation, pet_grid, pet_of_field, simulate_field
from protonqa.analyses.range_verification.truth import judged_rays, true_shift_mm
from protonqa.app.verify import VerifyCommand, verify
from protonqa.dicom import read_ct
from protonqa.dicom.write_identity import DicomIdentity
from protonqa.dicom.write_pet import write_pet
from protonqa.dicom.write_plan import write_plan
from protonqa.geometry.body import body_mask
from protonqa.phantom.field_maker import make_field
from protonqa.phantom.surface import paint_layer
from protonqa.values import AnalysisResult, IonPlan, State, Timeline, Volume

PROTONS = 120_000
TIMELINE = Timeline(irradiation_s=90.0, delay_s=150.0, acquisition_s=1200.0)
# In the right lobe of the liver; feet first supine, so the patient's right side is at gantry 90.
LIVER_MM = (-70.0, 20.0, -236.0)


@dataclass(frozen=True)
class RealCase:
    ct_path: Path
    plan_path: Path
    ct: Volume
    body: np.ndarray
    identity: DicomIdentity
    plan: IonPlan
    planned: FieldSimulation


@pytest.fixture(scope="module")
def real_case(reference_data: Path, tmp_path_factory: pytest.TempPathFactory) -> RealCase:
    path = reference_data / "ct_case" / "CRLM-CT-1006_CT.zip"
    ct, info, _ = read_ct(path)
    plan = make_field(
        ct, patient_position=info.patient_position, target_center_mm=LIVER_MM, target_radius_mm=25.0, gantry_deg=90.0
    )
    identity = DicomIdentity.of_series(info)
    plan_path = tmp_path_factory.mktemp("real") / "plan.dcm"
    write_plan(plan, plan_path, identity=identity)
    planned = simulate_field(ct, plan, plan.beams[0], protons=PROTONS, seed=50)
    return RealCase(
        ct_path=path, plan_path=plan_path, ct=ct, body=body_mask(ct), identity=identity, plan=plan, planned=planned
    )


def deliver_and_verify(
    case: RealCase, out: Path, *, layer_mm: float, cross_sections: str, washout: str, seed: int
) -> tuple[AnalysisResult, float]:
    """Verify the PET of a delivery on the changed anatomy; result and Monte Carlo truth (mm)."""
    anatomy = paint_layer(case.ct, case.body, layer_mm) if layer_mm else case.ct
    beam = case.plan.beams[0]
    delivered = simulate_field(anatomy, case.plan, beam, protons=PROTONS, seed=seed, cross_sections=cross_sections)
    pet = pet_of_field(delivered, pet_grid(case.ct.grid), TIMELINE, washout=washout, psf_mm=5.0, counts=1e6, seed=seed)
    write_pet(
        pet,
        out / "pet",
        identity=case.identity,
        timeline=TIMELINE,
        irradiation_end=datetime(2026, 1, 5, 10, 30, tzinfo=UTC),
    )
    command = VerifyCommand(
        ct=case.ct_path, pet=out / "pet", plan=case.plan_path, out=out / "result", psf_mm=5.0, protons=PROTONS
    )
    result = verify(command, seed=seed + 1000)
    truth = true_shift_mm(case.planned, delivered, case.body, case.ct.grid, judged_rays(result, beam.number))
    return result, truth


def test_an_unchanged_real_patient_passes_within_one_millimetre(real_case, tmp_path):
    result, truth = deliver_and_verify(
        real_case, tmp_path, layer_mm=0.0, cross_sections="recommended", washout="parodi-hu", seed=101
    )
    assert abs(truth) < 0.3
    assert abs(result.value("mean_shift")) <= 1.0
    assert result.state is State.PASS
    assert (tmp_path / "result" / "report.pdf").is_file()


def test_five_millimetres_on_the_skin_are_found_within_one_millimetre_and_fail(real_case, tmp_path):
    result, truth = deliver_and_verify(
        real_case, tmp_path, layer_mm=5.0, cross_sections="recommended", washout="parodi-hu", seed=102
    )
    assert -6.5 < truth < -3.5
    assert abs(result.value("mean_shift") - truth) <= 1.0
    assert result.state is State.FAIL


@pytest.mark.parametrize("layer_mm", [0.0, 5.0])
def test_with_other_cross_sections_and_washout_the_interval_still_tells_the_truth(
    real_case, tmp_path, layer_mm, record_property
):
    """What the method assumes is wrong here on purpose; the error is recorded.

    The truth must lie in the stated interval, give or take 0.5 mm for the noise of two simulations.
    """
    result, truth = deliver_and_verify(
        real_case, tmp_path, layer_mm=layer_mm, cross_sections="gate", washout="toramatsu-o15", seed=103
    )
    shift = result.measurements["mean_shift"]
    record_property("layer_mm", layer_mm)
    record_property("truth_mm", truth)
    record_property("found_mm", shift.value)
    assert shift.low - 0.5 <= truth <= shift.high + 0.5
    assert result.state is (State.FAIL if layer_mm else State.PASS)
