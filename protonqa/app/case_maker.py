"""A phantom becomes a DICOM case: planning CT, RT Ion Plan, RT Dose, and the PET of what was really delivered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from protonqa.analyses.forward import FieldSimulation, pet_grid, pet_of_field, simulate_field
from protonqa.values import Beam, BeamModel, Hlut, IonPlan, PatientIdentity, Timeline, Volume

#: Irradiation end of made cases: a fixed moment, so that the same seed gives the same files.
BEAM_OFF = datetime(2026, 1, 5, 10, 30, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """How the delivered side of a made case differs from what `verify` assumes."""

    timeline: Timeline = field(
        default_factory=lambda: Timeline(irradiation_s=90.0, delay_s=150.0, acquisition_s=1200.0)
    )
    washout: str = "toramatsu-o15"
    cross_sections: str = "gate"
    psf_mm: float = 5.0
    counts: float | None = 1e6
    protons: int = 300_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MadeCase:
    """Folders of the DICOM files, and what only the maker knows."""

    ct: Path
    pet: Path
    plan: Path
    dose: Path
    beam: Beam
    planned: FieldSimulation
    delivered: FieldSimulation


def write_case(
    out: Path,
    *,
    planning_ct: Volume,
    delivered_ct: Volume,
    plan: IonPlan,
    settings: DeliverySettings,
    seed: int,
    patient: PatientIdentity,
    hlut: Hlut | None = None,
    model: BeamModel | None = None,
    progress: Callable[[float, float, str], None] | None = None,
) -> MadeCase:
    """Simulate plan and delivery and write CT, plan, dose and PET as one study.

    The planned dose is our Monte Carlo on the planning CT; the PET comes from another simulation, with another seed, on
    the delivered anatomy.
    """
    from protonqa.dicom.write_ct import write_ct
    from protonqa.dicom.write_dose import write_dose
    from protonqa.dicom.write_identity import DicomIdentity
    from protonqa.dicom.write_pet import write_pet
    from protonqa.dicom.write_plan import write_plan

    seeds = [int(s) for s in np.random.SeedSequence([0xCA5E, seed]).generate_state(3)]
    beam = plan.beams[0]
    planned = simulate_field(
        planning_ct, plan, beam, protons=settings.protons, seed=seeds[0], hlut=hlut, model=model, progress=progress
    )
    delivered = simulate_field(
        delivered_ct,
        plan,
        beam,
        protons=settings.protons,
        seed=seeds[1],
        hlut=hlut,
        model=model,
        cross_sections=settings.cross_sections,
        progress=progress,
    )
    identity = DicomIdentity.new(
        seed=f"case-{seed}", patient=patient, study_time=BEAM_OFF, patient_position=plan.patient_position
    )
    write_ct(planning_ct, out / "ct", identity=identity, overwrite=True)
    plan_info = write_plan(plan, out / "plan.dcm", identity=identity)
    write_dose(
        planned.dose(),
        out / "dose.dcm",
        identity=identity,
        plan_uid=plan_info.sop_instance_uids[0],
        beam_number=beam.number,
    )
    pet = pet_of_field(
        delivered,
        pet_grid(planning_ct.grid),
        settings.timeline,
        washout=settings.washout,
        psf_mm=settings.psf_mm,
        counts=settings.counts,
        seed=seeds[2],
    )
    write_pet(
        pet,
        out / "pet",
        identity=identity,
        timeline=settings.timeline,
        irradiation_end=BEAM_OFF,
        comments="simulated",
        overwrite=True,
    )
    return MadeCase(
        ct=out / "ct",
        pet=out / "pet",
        plan=out / "plan.dcm",
        dose=out / "dose.dcm",
        beam=beam,
        planned=planned,
        delivered=delivered,
    )
