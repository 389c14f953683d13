"""What the site file says about one case: by scanner, protocol and machine, with the line each answer stands in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Generic, TypeVar

from protonqa.errors import CalibrationError
from protonqa.site.reading import Site
from protonqa.site.schema import CtCalibration, Machine, PetScanner
from protonqa.values import Case, Finding, IonPlan, SeriesInfo, Severity

ChoiceT = TypeVar("ChoiceT")
PlaceT = TypeVar("PlaceT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Generic[ChoiceT]):
    """An answer of the site file and where it stands."""

    value: ChoiceT
    source: str


def pet_scanner(site: Site, info: SeriesInfo) -> Choice[PetScanner] | None:
    """The PET scanner that made a series; None where the file lists none like it.

    Raises
    ------
    CalibrationError
        Two entries fit it equally.
    """
    fitting = [
        (place, one)
        for place, one in enumerate(site.settings.pet_scanners)
        if _fits(one.manufacturer, info.manufacturer)
        and _fits(one.model, info.model)
        and _fits(one.protocol, info.protocol)
    ]
    chosen = _only("pet_scanners", fitting, lambda one: (one.manufacturer, one.model, one.protocol))
    if chosen is None:
        return None
    place, one = chosen
    return Choice(value=one, source=_source(site, f"PET scanner {one.name}", "pet_scanners", place))


def ct_calibration(site: Site, info: SeriesInfo) -> Choice[CtCalibration] | None:
    """The HU calibration of a CT series by its scanner and protocol; None where the file has none for it.

    Raises
    ------
    CalibrationError
        Two calibrations fit it equally.
    """
    fitting = [
        ((place, at), (scanner, one))
        for place, scanner in enumerate(site.settings.ct_scanners)
        for at, one in enumerate(scanner.calibrations)
        if _fits(scanner.manufacturer, info.manufacturer)
        and _fits(scanner.model, info.model)
        and _fits(one.protocol, info.protocol)
    ]
    chosen = _only("ct_scanners", fitting, lambda pair: (pair[0].manufacturer, pair[0].model, pair[1].protocol))
    if chosen is None:
        return None
    (place, at), (scanner, one) = chosen
    what = f"CT scanner {scanner.name}, protocol {one.protocol}"
    return Choice(value=one, source=_source(site, what, "ct_scanners", place, "calibrations", at))


def machine(site: Site, plan: IonPlan, beam: int | None = None) -> Choice[Machine] | None:
    """The treatment machine of a plan's beams, or of one of them; None where the file lists none, or they differ.

    Raises
    ------
    CalibrationError
        Two entries fit it equally.
    """
    beams = [one for one in plan.beams if beam is None or one.number == beam]
    names = {one.machine for one in beams}
    if len(names) != 1:
        return None
    name = names.pop()
    fitting = [
        (place, one) for place, one in enumerate(site.settings.machines) if name and _fits(one.treatment_machine, name)
    ]
    chosen = _only("machines", fitting, lambda one: (one.treatment_machine,))
    if chosen is None:
        return None
    place, one = chosen
    return Choice(value=one, source=_source(site, f"machine {one.name}", "machines", place))


def unknown_equipment(site: Site, case: Case, *, hlut: bool, psf: bool, machine_wanted: bool) -> tuple[Finding, ...]:
    """Findings for equipment of a case that the site file does not list: its values are generic then, never a guess.

    Parameters
    ----------
    hlut, psf, machine_wanted : bool
        Which of them the site file was asked for in vain.
    """
    found = []
    if hlut and site.settings.ct_scanners:
        what = _series_text(case.ct_info)
        text = f"The site file has no HU calibration for this CT ({what}); no other scanner's was taken."
        found.append(Finding(severity=Severity.WARNING, code="SITE-NO-HLUT", text=text))
    if psf and site.settings.pet_scanners and case.pet is not None:
        what = _series_text(case.pet.info)
        text = f"The site file lists no PET scanner like this one ({what}); its resolution is not known."
        found.append(Finding(severity=Severity.WARNING, code="SITE-NO-PET-SCANNER", text=text))
    if machine_wanted and site.settings.machines and case.plan is not None:
        text = "The site file lists no treatment machine like that of the plan; no other machine's model was taken."
        found.append(Finding(severity=Severity.WARNING, code="SITE-NO-MACHINE", text=text))
    return tuple(found)


def _series_text(info: SeriesInfo) -> str:
    facts = (("manufacturer", info.manufacturer), ("model", info.model), ("protocol", info.protocol))
    return ", ".join(f"{name} {value or 'not stated'}" for name, value in facts)


def _fits(pattern: str, value: str) -> bool:
    """A pattern other than ``*`` needs something to fit."""
    return pattern == "*" or (bool(value) and fnmatchcase(value.casefold().strip(), pattern.casefold()))


def _only(
    section: str,
    fitting: Sequence[tuple[PlaceT, ChoiceT]],
    patterns: Callable[[ChoiceT], tuple[str, ...]],
) -> tuple[PlaceT, ChoiceT] | None:
    """The one fitting entry; of several the most special one, if there is one."""
    if not fitting:
        return None
    weights = [_weight(patterns(one)) for _, one in fitting]
    best = max(weights)
    if weights.count(best) > 1:
        raise CalibrationError(
            f"several entries of {section} in the site file fit this case equally",
            got=f"{weights.count(best)} entries",
            expected="one that fits best",
            remedy="make their patterns differ; see protonqa config check",
        )
    return fitting[weights.index(best)]


def _source(site: Site, what: str, *location: int | str) -> str:
    return f"site file: {what} (line {site.line_of(*location)})"


def _weight(patterns: Iterable[str]) -> tuple[int, int]:
    """How special an entry is: patterns that are not ``*``, then letters that are no wildcard."""
    texts = tuple(patterns)
    return sum(one != "*" for one in texts), sum(len(one.replace("*", "").replace("?", "")) for one in texts)
