"""`demo`: a patient with a hidden range error, from DICOM files to the report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from protonqa.analyses.range_verification.truth import judged_rays, true_shift_mm
from protonqa.app.case_maker import DeliverySettings, MadeCase, write_case
from protonqa.app.progress import stages
from protonqa.app.verify import VerifyCommand, verify, verify_plain
from protonqa.device import CPU, Device
from protonqa.geometry.body import body_mask
from protonqa.values import AnalysisResult, IonPlan, PatientIdentity, Volume

FOUND_WITHIN_MM = 1.0
PHANTOM = "abdomen"
# The liver lies on the patient's right: a lateral field from the right side.
GANTRY_DEG = 270.0
LAYER_MM = (2.0, 7.0)


class DemoParams(BaseModel):
    """Where the demo is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    out: Path = Field(Path("demo-out"), description="Folder of case and report.")
    protons: int = Field(300_000, ge=10_000, description="Simulated protons in each of the three simulations.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DemoOutcome:
    """The verdict, and the truth that was read after it."""

    result: AnalysisResult
    planted_shift_mm: float
    out: Path
    seconds: float

    @property
    def error_mm(self) -> float | None:
        """Found minus planted shift; None where nothing was found."""
        found = self.result.value("mean_shift")
        return None if found is None else found - self.planted_shift_mm

    @property
    def found(self) -> bool:
        """True when the planted shift was found within 1 mm."""
        return self.error_mm is not None and abs(self.error_mm) <= FOUND_WITHIN_MM

    def to_plain(self) -> dict[str, Any]:
        """As ``verify``, with ``planted_shift_mm``."""
        plain = verify_plain(self.result, self.out)
        return {
            **plain,
            "planted_shift_mm": self.planted_shift_mm,
            "error_mm": self.error_mm,
            "found_within_1_mm": self.found,
            "seconds": self.seconds,
        }


def demo(
    params: DemoParams,
    *,
    seed: int = 0,
    device: Device = CPU,
    progress: Callable[[float, float, str], None] | None = None,
) -> DemoOutcome:
    """Write a case whose delivery differs from the plan, verify it from its files, then look at the truth.

    The PET is made with another cross-section set, another washout, noise and other seeds than `verify` assumes.
    """
    began = time.perf_counter()
    making, checking = stages(progress, (2, 1))
    case, planning_ct = make_demo_case(params.out / "case", seed=seed, protons=params.protons, progress=making)
    command = VerifyCommand(
        ct=case.ct,
        pet=case.pet,
        plan=case.plan,
        dose=case.dose,
        out=params.out,
        psf_mm=DeliverySettings().psf_mm,
        protons=params.protons,
    )
    result = verify(command, seed=seed + 1, device=device, progress=checking)
    seconds = time.perf_counter() - began
    rays = judged_rays(result, case.beam.number)
    body = body_mask(planning_ct)
    planted = true_shift_mm(case.planned, case.delivered, body, planning_ct.grid, rays)
    return DemoOutcome(result=result, planted_shift_mm=planted, out=params.out, seconds=seconds)


def make_demo_case(
    out: Path, *, seed: int, protons: int, progress: Callable[[float, float, str], None] | None = None
) -> tuple[MadeCase, Volume]:
    """The DICOM case, and the planning CT it was made from."""
    from protonqa.phantom import voxel_phantom
    from protonqa.phantom.field_maker import make_field
    from protonqa.phantom.surface import paint_layer, peel_layer

    phantom = voxel_phantom(PHANTOM)
    planning_ct = phantom.volume()
    body = body_mask(planning_ct)
    plan: IonPlan = make_field(
        planning_ct,
        patient_position="HFS",
        target_center_mm=_liver_point(phantom),
        target_radius_mm=25.0,
        gantry_deg=GANTRY_DEG,
    )
    rng = np.random.default_rng([0xDE30, seed])
    thickness = float(rng.uniform(*LAYER_MM))
    change = paint_layer if rng.uniform() < 0.5 else peel_layer
    case = write_case(
        out,
        planning_ct=planning_ct,
        delivered_ct=change(planning_ct, body, thickness),
        plan=plan,
        settings=DeliverySettings(protons=protons),
        seed=seed,
        patient=PatientIdentity(patient_id="PHANTOM-1", name="Phantom^Abdomen"),
        progress=progress,
    )
    return case, planning_ct


def _liver_point(phantom: Any) -> tuple[float, float, float]:
    """Centre of gravity of the liver (LPS, mm)."""
    inside = np.argwhere(phantom.tissue_mask("liver"))
    return tuple(float(v) for v in phantom.grid.world_from_index(inside.mean(axis=0)[::-1]))  # type: ignore[return-value]
