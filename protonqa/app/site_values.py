"""Parameters and inputs that the user did not give, from the site file; where each number came from is on record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from protonqa.analyses.interface import Analysis, AnalysisParams, Input
from protonqa.files.calibrations import read_beam_model, read_hlut
from protonqa.site.choice import Choice, ct_calibration, machine, pet_scanner, unknown_equipment
from protonqa.site.reading import Site
from protonqa.site.schema import Machine
from protonqa.values import Case, Finding

#: What a field of a parameter schema may ask for: ``json_schema_extra={"site": "pet_psf_mm"}``.
PET_PSF, RANGE_TOLERANCE = "pet_psf_mm", "range_tolerance_mm"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SiteValues:
    """Inputs and parameters of a run, completed.

    Parameters
    ----------
    values : mapping of input to value
    params : AnalysisParams
    sources : mapping of str to str
        Of each input and parameter that a site file can give: the user, the site file and its line, or the default.
    findings : tuple of Finding
        Equipment that the site file does not list.
    """

    values: Mapping[str, Any]
    params: AnalysisParams
    sources: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def with_site(analysis: Analysis, values: Mapping[str, Any], params: AnalysisParams, site: Site | None) -> SiteValues:
    """Complete what the user left out.

    An optional input of the kind Hlut or BeamModel, and a parameter whose schema says ``site``, come from the site
    file where it lists the scanner, protocol or machine of the case. Nothing is taken from a neighbour.

    Parameters
    ----------
    analysis : Analysis
    values : mapping of input to value
    params : AnalysisParams
        As checked from what the user gave; only fields that were not set are filled.
    site : Site or None

    Raises
    ------
    CalibrationError
        Two entries of the site file fit equally, or a file that it names is damaged.
    """
    asked = _asked(type(params))
    sources = {name: "the user" if name in params.model_fields_set else "the default" for name in asked}
    open_inputs = {one.kind_name: one for one in analysis.inputs if _open(one, values)}
    sources |= {one.name: "the user" for one in analysis.inputs if _calibration(one) and one.name in values}
    case = next((value for value in values.values() if isinstance(value, Case)), None)
    if site is None or case is None:
        return SiteValues(values=values, params=params, sources=sources)
    found = _Found.of(site, case, getattr(params, "beam", None))
    given = {name: what for name, what in asked.items() if name not in params.model_fields_set}
    numbers = {name: found.number(what) for name, what in given.items()}
    taken = {name: one for name, one in numbers.items() if one is not None}
    files = {one.name: choice for kind, one in open_inputs.items() if (choice := found.file(kind)) is not None}
    missing = unknown_equipment(
        site,
        case,
        hlut="Hlut" in open_inputs and found.hlut is None,
        psf=PET_PSF in given.values() and found.psf is None,
        machine_wanted="BeamModel" in open_inputs and found.machine is None,
    )
    return SiteValues(
        values={**values, **{name: choice.value for name, choice in files.items()}},
        params=type(params).model_validate(
            {**params.model_dump(exclude_unset=True), **{name: choice.value for name, choice in taken.items()}}
        ),
        sources={
            **sources,
            **{name: choice.source for name, choice in (*taken.items(), *files.items())},
            "site_file": f"{site.settings.name or 'unnamed'}, {site.sha256[:16]}",
        },
        findings=missing,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Found:
    """What the site file says about a case."""

    site: Site
    psf: Choice[float] | None
    hlut: Choice[Any] | None
    machine: Choice[Machine] | None

    @classmethod
    def of(cls, site: Site, case: Case, beam: int | None) -> _Found:
        scanner = None if case.pet is None else pet_scanner(site, case.pet.info)
        calibration = ct_calibration(site, case.ct_info)
        return cls(
            site=site,
            psf=None if scanner is None else Choice(value=scanner.value.psf_mm, source=scanner.source),
            hlut=calibration,
            machine=None if case.plan is None else machine(site, case.plan, beam),
        )

    def number(self, what: str) -> Choice[float] | None:
        """The value of a parameter that asks for `what`."""
        if what == PET_PSF:
            return self.psf
        if what != RANGE_TOLERANCE:
            return None
        if self.machine is not None and self.machine.value.tolerance_mm is not None:
            return Choice(value=self.machine.value.tolerance_mm, source=self.machine.source)
        level = self.site.settings.tolerances.range_mm
        line = self.site.line_of("tolerances", "range_mm")
        return None if level is None else Choice(value=level, source=f"site file: tolerances (line {line})")

    def file(self, kind: str) -> Choice[Any] | None:
        """The calibration of a kind, read."""
        if kind == "Hlut" and self.hlut is not None:
            path = self.site.beside(self.hlut.value.hlut)
            return Choice(value=read_hlut(path), source=self.hlut.source)
        if kind == "BeamModel" and self.machine is not None and self.machine.value.beam_model:
            path = self.site.beside(self.machine.value.beam_model)
            return Choice(value=read_beam_model(path), source=self.machine.source)
        return None


def _asked(schema: type[AnalysisParams]) -> dict[str, str]:
    found = {}
    for name, one in schema.model_fields.items():
        extra = one.json_schema_extra
        if isinstance(extra, Mapping) and extra.get("site"):
            found[name] = str(extra["site"])
    return found


def _calibration(one: Input) -> bool:
    return one.kind_name in ("Hlut", "BeamModel")


def _open(one: Input, values: Mapping[str, Any]) -> bool:
    return one.optional and _calibration(one) and values.get(one.name) is None
