"""Whom and what a report is about: printed in the identity block, or withheld in an anonymous report."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from protonqa.report.text import patient_date, patient_name
from protonqa.values import Beam, Case, IonPlan, PatientIdentity, SeriesInfo, Timeline

WITHHELD = "withheld (anonymous report)"


_NOBODY = PatientIdentity()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSubject:
    """Identity and plan facts of a case, as text.

    Parameters
    ----------
    identity : PatientIdentity
    plan_names : rows of (label, value)
        Texts of the user's own making (plan label, beam names), left out of an anonymous report.
    plan_facts, image_facts : rows of (label, value)
        Facts without identity.
    """

    identity: PatientIdentity = _NOBODY
    plan_names: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    plan_facts: tuple[tuple[str, str], ...] = ()
    image_facts: tuple[tuple[str, str], ...] = ()

    def identity_rows(self, *, anonymous: bool) -> list[tuple[str, str]]:
        """Rows of the identity block."""
        if anonymous:
            return [("Patient", WITHHELD)]
        return [
            ("Patient name", patient_name(self.identity.name) or "not stated"),
            ("Patient ID", self.identity.patient_id or "not stated"),
            ("Date of birth", patient_date(self.identity.birth_date) or "not stated"),
            *self.plan_names,
        ]

    def secrets(self) -> frozenset[str]:
        """Every text that an anonymous report must not contain: name and its parts, id, date of birth."""
        name = self.identity.name
        parts = re.split(r"[\^=,\s]+", name)
        found = {name, patient_name(name), self.identity.patient_id, self.identity.birth_date, *parts}
        found.add(patient_date(self.identity.birth_date))
        return frozenset(text for text in found if len(text.strip()) >= 3)


def subject_of_case(case: Case) -> ReportSubject:
    """Identity, plan and image facts of a case."""
    infos = [info for info in (case.plan_info, case.ct_info, case.pet.info if case.pet else None) if info is not None]
    identity = next((info.patient for info in infos if info.patient.patient_id or info.patient.name), _NOBODY)
    images = [("Planning CT", _series(case.ct_info))]
    if case.pet is not None:
        images.append(("PET", _series(case.pet.info)))
    if case.timeline is not None:
        images.append(("Time line", _timeline(case.timeline)))
    plan = case.plan
    return ReportSubject(
        identity=identity,
        plan_names=_plan_names(plan) if plan is not None else (),
        plan_facts=_plan_facts(plan) if plan is not None else (),
        image_facts=tuple(images),
    )


def _plan_names(plan: IonPlan) -> tuple[tuple[str, str], ...]:
    names = ", ".join(f"{beam.number} {beam.name}" for beam in plan.beams if beam.name)
    rows = (("Plan", plan.label), ("Beam names", names))
    return tuple(row for row in rows if row[1])


def _plan_facts(plan: IonPlan) -> tuple[tuple[str, str], ...]:
    facts = [("Patient position", plan.patient_position), ("Approval", plan.approval_status.lower() or "not stated")]
    facts += [(f"Beam {beam.number}", _beam(beam)) for beam in plan.beams]
    return tuple(facts)


def _beam(beam: Beam) -> str:
    energies = [layer.energy_mev for layer in beam.layers]
    text = f"gantry {beam.gantry_deg:g}°, couch {beam.couch_deg:g}°"
    if energies:
        text += f", {len(energies)} layers {min(energies):.1f} to {max(energies):.1f} MeV"
    return text


def _series(info: SeriesInfo) -> str:
    maker = " ".join(part for part in (info.manufacturer, info.model) if part)
    parts = [maker, f"{info.files_used} files" if info.files_used else ""]
    return ", ".join(part for part in parts if part) or "not stated"


def _timeline(timeline: Timeline) -> str:
    return (
        f"irradiation {timeline.irradiation_s:g} s, delay {timeline.delay_s:g} s, "
        f"acquisition {timeline.acquisition_s:g} s"
    )
