"""What a stored result is about: labels the user gives, completed by what the case says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protonqa.app.inputs import input_paths
from protonqa.errors import InputError, ProtonQAError
from protonqa.values import AnalysisResult, Case, IonPlan

if TYPE_CHECKING:
    from protonqa.analyses.interface import Input
    from protonqa.store import Labels


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CaseFacts:
    """What the store may know of a case.

    Parameters
    ----------
    patient_id : str
        Becomes a pseudonym; it is never stored.
    plan : IonPlan or None
        For the machine of its beams.
    performed : datetime or None
        Start of the PET.
    """

    patient_id: str = field(default="", repr=False)
    plan: IonPlan | None = None
    performed: datetime | None = None


NOTHING_KNOWN = CaseFacts()


def facts_of_values(values: Mapping[str, Any]) -> CaseFacts:
    """Of the first case among the inputs of an analysis."""
    cases = [value for value in values.values() if isinstance(value, Case)]
    for case in cases:
        infos = (case.plan_info, case.ct_info, case.pet.info if case.pet is not None else None)
        known = [one.patient.patient_id for one in infos if one is not None and one.patient.patient_id.strip()]
        plan = next((one.plan for one in cases if one.plan is not None), None)
        return CaseFacts(patient_id=known[0] if known else "", plan=plan, performed=performed_of(values))
    return NOTHING_KNOWN


def performed_of(values: Mapping[str, Any]) -> datetime | None:
    """When the PET of the case began, in the time zone of this computer where its files name none."""
    case = next((one for one in values.values() if isinstance(one, Case)), None)
    start = case.pet.timing.frame_start if case is not None and case.pet is not None else None
    return start if start is None or start.tzinfo is not None else start.astimezone()


def facts_of_paths(inputs: tuple[Input, ...], paths: Mapping[str, Any], performed: str = "") -> CaseFacts:
    """Of a case that another process has read: its plan is small and is read again; what cannot be read is not known.

    Parameters
    ----------
    inputs : tuple of Input
    paths : mapping of option to path
    performed : str
        As the other process told it, ISO 8601.
    """
    from protonqa.dicom import read_plan

    when = datetime.fromisoformat(performed) if performed else None
    cases = {one.name for one in inputs if one.kind_name == Case.__name__}
    for option, (name, key, _) in input_paths(inputs).items():
        path = paths.get(option)
        if name not in cases or key != "plan" or not isinstance(path, (str, Path)):
            continue
        try:
            plan, info, _ = read_plan(Path(path))
        except ProtonQAError:
            break
        return CaseFacts(patient_id=info.patient.patient_id, plan=plan, performed=when)
    return CaseFacts(performed=when)


def parse_labels(pairs: Sequence[str]) -> Labels:
    """Labels from ``NAME=VALUE``: machine, site, field, patient (a pseudonym), performed (date or time).

    Raises
    ------
    InputError
        Not a pair, an unknown or repeated name, or no date.
    """
    from protonqa.app.moments import moment
    from protonqa.store import Labels
    from protonqa.store.values import LABELS

    names = (*LABELS, "performed")
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip().lower()
        if not equals or name not in names or name in found:
            raise InputError(
                "a label cannot be used", got=repr(pair[:40]), expected=f"NAME=VALUE, each of {', '.join(names)} once"
            )
        found[name] = moment(value) if name == "performed" else value
    return Labels(**found)


def completed_labels(given: Labels | None, result: AnalysisResult, facts: CaseFacts) -> Labels:
    """What the user said, completed by the case: pseudonym, machine, start of the PET, beam of a single field."""
    from protonqa.store import Labels
    from protonqa.store.rows import field_name

    labels = given or Labels()
    if not labels.patient:
        labels = replace(labels, patient=_pseudonym(facts.patient_id))
    if not labels.field and len(result.parts) == 1:
        labels = replace(labels, field=field_name(result.parts[0])[:200])
    if not labels.machine:
        labels = replace(labels, machine=_machine(result, facts.plan))
    return replace(labels, performed=labels.performed or facts.performed)


def _machine(result: AnalysisResult, plan: IonPlan | None) -> str:
    """The machine of the beams that were looked at, by the name the site file gives it, else as the plan has it."""
    from protonqa.site.choice import machine
    from protonqa.site.reading import current_site

    if plan is None:
        return ""
    numbers = {part.value("beam") for part in result.parts}
    names = {beam.machine for beam in plan.beams if not numbers or float(beam.number) in numbers}
    site = current_site()
    known = machine(site, plan) if site is not None else None
    return known.value.name if known is not None else names.pop()[:200] if len(names) == 1 else ""


def _pseudonym(patient_id: str) -> str:
    from protonqa.store.location import data_folder
    from protonqa.store.pseudonym import pseudonym, pseudonym_key

    return pseudonym(patient_id, pseudonym_key(data_folder())) if patient_id.strip() else ""
