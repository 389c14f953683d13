"""Range verification: did the protons stop where the plan says?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from protonqa.analyses.interface import Commissioning, Context, Input
from protonqa.analyses.range_verification.params import VerifyParams
from protonqa.values import (
    AnalysisResult,
    Beam,
    BeamModel,
    Case,
    Finding,
    Hlut,
    Measurement,
    PetImage,
    Severity,
    State,
    Timeline,
)

if TYPE_CHECKING:
    from protonqa.analyses.range_verification.evaluate import Compared, Setting

DEFAULT_PSF_MM = 5.0


class RangeVerification:
    """Measured against expected activity of a field, as a range difference in millimetres with a verdict."""

    name = "range-verification"
    title = "Range verification"
    version = "1.0"
    inputs = (
        Input("case", Case, title="Planning CT, PET and plan of one patient"),
        Input("expected", PetImage, optional=True, title="Expected PET of the plan"),
        Input("hlut", Hlut, optional=True, title="HU calibration of the scanner"),
        Input("beam_model", BeamModel, optional=True, title="Beam model of the machine"),
        # By name: its class would load torch.
        Input("range_model", "RangeModel", optional=True, title="Range model of your own, such as this patient's"),
    )
    Params = VerifyParams

    def __init__(self, watch: Callable[[Compared, Setting], None] | None = None) -> None:
        """`watch` gets the rays of each field as soon as they are judged, for a view that shows them one by one."""
        self._watch = watch

    def run(self, context: Context[VerifyParams]) -> AnalysisResult:
        """Verify every beam of the plan, or the one asked for."""
        from protonqa.analyses.range_verification.evaluate import evaluate_field, worst
        from protonqa.errors import NotEvaluableError

        case = context.input("case", Case)
        beams = _beams(case, context.params.beam)
        setting, findings = _setting(context, case)
        if isinstance(setting, str):
            return _not_evaluable(setting, findings)
        if len(beams) > 1:
            text = "the PET holds the activity of several fields; name the one it was taken for (beam number)"
            return _not_evaluable(text, findings)
        parts = []
        for beam in beams:
            try:
                part = evaluate_field(context, setting, beam, context.progress, self._watch)
            except NotEvaluableError as error:
                part = replace(_not_evaluable(error.line(), ()), title=f"Beam {beam.number}")
            parts.append(part)
        first = parts[0]
        state = worst([part.state for part in parts])
        numbered = [
            replace(part, measurements={"beam": _beam_number(beam), **part.measurements})
            for beam, part in zip(beams, parts, strict=True)
        ]
        return replace(
            first,
            title=self.title,
            state=state,
            findings=tuple(dict.fromkeys((*findings, *first.findings))),
            parts=tuple(numbered),
        )

    def commission(self, context: Context[VerifyParams]) -> Commissioning:
        """Known shifts on phantoms, against stated limits."""
        from protonqa.analyses.range_verification.commissioning import commission

        return commission(context)


def _beam_number(beam: Beam) -> Measurement:
    return Measurement(name="beam", title="Beam number", value=float(beam.number), unit="")


def _not_evaluable(reason: str, findings: tuple[Finding, ...]) -> AnalysisResult:
    return AnalysisResult(
        analysis=RangeVerification.name,
        version=RangeVerification.version,
        title=RangeVerification.title,
        state=State.NOT_EVALUABLE,
        reason=reason,
        findings=findings,
    )


def _beams(case: Case, number: int | None) -> list[Beam]:
    if case.plan is None:
        return []
    return [case.plan.beam(number)] if number is not None else list(case.plan.beams)


def _setting(context: Context[VerifyParams], case: Case) -> tuple[Setting | str, tuple[Finding, ...]]:
    """What all fields share, or the reason why nothing can be evaluated; with the findings so far."""
    from protonqa.analyses.range_verification.evaluate import Setting
    from protonqa.physics.beam_models import beam_model_findings, generic_beam_model

    findings = list(case.findings)
    if case.plan is None or not case.plan.beams:
        return "there is no plan with a beam", tuple(findings)
    if case.pet is None:
        return "there is no PET", tuple(findings)
    if not case.pet.volume.array.any():
        return "the PET is zero everywhere (0 voxels with activity)", tuple(findings)
    timeline = _timeline(context.params, case)
    if timeline is None:
        text = "no time line: the PET does not say when the beam was on; give delay, irradiation and acquisition"
        return text, tuple(findings)
    hlut = _optional(context, "hlut", Hlut)
    given = _optional(context, "beam_model", BeamModel)
    model = given or generic_beam_model()
    findings += beam_model_findings(model)
    if hlut is None:
        text = "No HU calibration was given: stopping powers follow a generic curve (Schneider compositions)."
        findings.append(Finding(severity=Severity.WARNING, code="HLUT-GENERIC", text=text))
    psf = context.params.psf_mm
    if psf is None:
        text = f"The PET resolution was not given; {DEFAULT_PSF_MM:g} mm FWHM is assumed."
        findings.append(Finding(severity=Severity.INFO, code="PSF-ASSUMED", text=text))
    setting = Setting(
        case=case,
        pet=case.pet,
        timeline=timeline,
        psf_mm=DEFAULT_PSF_MM if psf is None else psf,
        model=model,
        hlut=hlut,
        expected=_optional(context, "expected", PetImage),
    )
    return setting, tuple(findings)


def _optional(context: Context[VerifyParams], name: str, kind: type[Any]) -> Any:
    return context.input(name, kind) if context.inputs.get(name) is not None else None


def _timeline(params: VerifyParams, case: Case) -> Timeline | None:
    """Times given by hand go before those of the PET; all three must be known."""
    known = case.timeline
    frame = case.pet.timing.frame_duration_s if case.pet is not None else None
    delay = params.delay_s if params.delay_s is not None else (known.delay_s if known else None)
    beam_on = params.irradiation_s if params.irradiation_s is not None else (known.irradiation_s if known else None)
    acquired = params.acquisition_s if params.acquisition_s is not None else (known.acquisition_s if known else frame)
    if delay is None or beam_on is None or acquired is None:
        return None
    return Timeline(irradiation_s=beam_on, delay_s=delay, acquisition_s=acquired)
