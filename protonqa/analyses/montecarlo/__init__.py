"""Monte Carlo of a plan, or of a pencil beam, as an analysis: dose, positron emitters and the energy book."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protonqa.analyses.interface import Commissioning, Context, Input
from protonqa.analyses.montecarlo.params import MonteCarloParams
from protonqa.values import AnalysisResult, BeamModel, Case, Finding, Hlut, Severity

if TYPE_CHECKING:
    from protonqa.analyses.montecarlo.beams import AimedBeam
    from protonqa.montecarlo.medium import Medium


class MonteCarlo:
    """Simulates the plan of a case, a pencil beam into its CT, or a pencil beam into a phantom."""

    name = "montecarlo"
    title = "Monte Carlo of protons"
    version = "1.0"
    inputs = (
        Input("case", Case, optional=True, title="Planning CT and plan; none: a phantom"),
        Input("hlut", Hlut, optional=True, title="HU calibration of the scanner"),
        Input("beam_model", BeamModel, optional=True, title="Beam model of the machine"),
    )
    Params = MonteCarloParams

    def run(self, context: Context[MonteCarloParams]) -> AnalysisResult:
        """Simulate; the result passes when the energy book closes within 0.1 % and its noise."""
        from protonqa.analyses.montecarlo.cross_sections import (
            cross_section_findings,
            cross_section_spread,
            read_cross_sections,
        )
        from protonqa.analyses.montecarlo.outputs import stop_findings, write_outputs
        from protonqa.analyses.montecarlo.summary import summary
        from protonqa.analyses.montecarlo.where import device_findings, transport_device
        from protonqa.montecarlo.simulation import compile_kernels, simulate

        params, device = context.params, transport_device(context.device)
        context.progress(0, 1, "reading")
        cross_sections = read_cross_sections(params.cross_sections)
        medium, aimed, findings = _scene(context)
        compile_kernels(device.kind, range_shifter=aimed.source.slab is not None)
        result = simulate(
            medium=medium,
            source=aimed.source,
            protons=params.protons,
            seed=context.seed,
            cross_sections=cross_sections,
            box=aimed.box,
            device=device.kind,
            uncertainty=params.uncertainty,
            until_percent=params.until_percent,
            beam_quality=params.beam_quality,
            announce=lambda memory: context.progress(0, 1, memory.line()),
            progress=lambda done, total: context.progress(done, total, "simulating protons"),
        )
        spread = None
        if params.cross_section_spread:
            spread = cross_section_spread(
                medium, aimed.source, used=cross_sections, seed=context.seed, protons=params.protons
            )
        artefacts = {}
        if context.out is not None:
            artefacts = write_outputs(result, context.out, volumes=params.volumes, dose=params.dose_volumes)
        findings += cross_section_findings(cross_sections) + stop_findings(result, params.until_percent)
        return summary(self, result, device, findings + device_findings(context.device, device), artefacts, spread)

    def commission(self, context: Context[MonteCarloParams]) -> Commissioning:
        """Ranges, yields, scattering, energy book and reproducibility against stated limits."""
        from protonqa.analyses.montecarlo.commissioning import commission

        return commission(context)


def _scene(context: Context[MonteCarloParams]) -> tuple[Medium, AimedBeam, tuple[Finding, ...]]:
    """Medium, beam and what was found while putting them together."""
    hlut = _optional(context, "hlut", Hlut)
    if context.inputs.get("case") is None:
        return _phantom_scene(context, hlut)
    return _case_scene(context, hlut)


def _phantom_scene(
    context: Context[MonteCarloParams], hlut: Hlut | None
) -> tuple[Medium, AimedBeam, tuple[Finding, ...]]:
    import numpy as np

    from protonqa.analyses.montecarlo.beams import into_face
    from protonqa.montecarlo.medium import medium_from_hu
    from protonqa.phantom import voxel_phantom

    phantom = voxel_phantom(context.params.phantom)
    medium = medium_from_hu(
        phantom.volume(), hlut=hlut, reference_index=np.asarray(phantom.material_index, dtype=np.int64)
    )
    return medium, into_face(medium.grid, _pencil(context)), phantom.findings


def _case_scene(context: Context[MonteCarloParams], hlut: Hlut | None) -> tuple[Medium, AimedBeam, tuple[Finding, ...]]:
    from protonqa.analyses.montecarlo.beams import field_into_patient, into_patient, planned_beam
    from protonqa.montecarlo.medium import medium_from_hu
    from protonqa.physics.beam_models import beam_model_findings, generic_beam_model

    case, params = context.input("case", Case), context.params
    findings = list(case.findings)
    if hlut is None:
        findings.append(generic_hlut_finding())
    if case.plan is None:
        aimed = into_patient(
            case.ct,
            _pencil(context),
            patient_position=case.ct_info.patient_position,
            isocenter_mm=params.isocenter_mm,
            gantry_deg=params.gantry_deg,
            couch_deg=params.couch_deg,
        )
    else:
        model = _optional(context, "beam_model", BeamModel) or generic_beam_model()
        findings += beam_model_findings(model)
        aimed = field_into_patient(case.ct, case.plan, planned_beam(case.plan, params.beam), model)
    return medium_from_hu(case.ct, hlut=hlut), aimed, (*findings, *aimed.findings)


def _pencil(context: Context[MonteCarloParams]) -> Any:
    from protonqa.analyses.montecarlo.beams import PencilBeam

    params = context.params
    return PencilBeam(
        energy_mev=params.energy_mev,
        spot_sigma_mm=params.spot_sigma_mm,
        energy_spread_percent=params.energy_spread_percent,
        divergence_mrad=params.divergence_mrad,
        range_shifter_mm=params.range_shifter_mm,
        range_shifter_gap_mm=params.range_shifter_gap_mm,
        model=_optional(context, "beam_model", BeamModel),
    )


def generic_hlut_finding() -> Finding:
    """What a result says that was made without a calibration of the scanner."""
    text = "No HU calibration was given: stopping powers follow a generic curve (Schneider compositions)."
    return Finding(severity=Severity.WARNING, code="HLUT-GENERIC", text=text)


def _optional(context: Context[MonteCarloParams], name: str, kind: type[Any]) -> Any:
    return context.input(name, kind) if context.inputs.get(name) is not None else None
