"""`simulate`: Monte Carlo of a pencil beam or of a plan, from files to profile, volumes and result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from protonqa.app.progress import Cancel, Progress, report_progress, stages
from protonqa.app.simulated import Simulation, publish
from protonqa.device import CPU, Device
from protonqa.errors import InputError
from protonqa.values import BeamModel, Finding, Hlut, Severity

if TYPE_CHECKING:
    from protonqa.analyses.montecarlo.beams import AimedBeam
    from protonqa.app.sources import Anatomy
    from protonqa.montecarlo.result import MonteCarloResult
    from protonqa.physics.emission import CrossSections

#: Options of a pencil beam; a plan brings its own.
_PENCIL = ("energy_mev", "spot_sigma_mm", "energy_spread_percent", "isocenter_mm", "gantry_deg", "couch_deg")
_ANGLES = ("isocenter_mm", "gantry_deg", "couch_deg")


class SimulateParams(BaseModel):
    """A pencil beam into SOURCE, or the plan on a CT."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    source: str | None = Field(
        None, description="Phantom name, twin:SEED, phantom YAML, .mha volume (HU) or CT (DICOM folder or zip)."
    )
    protons: int = Field(ge=1, le=2_000_000_000, description="Simulated protons.")
    energy_mev: float | None = Field(None, ge=1, le=300, description="Energy of the pencil beam, MeV.")
    ct: Path | None = Field(None, description="CT of the plan: DICOM folder or zip.")
    plan: Path | None = Field(None, description="RT Ion Plan.")
    beam: int | None = Field(None, ge=0, description="Beam number, where the plan has several.")
    spot_sigma_mm: float = Field(3.0, ge=0, le=200, description="Spot size of the pencil beam, 1 SD, mm.")
    energy_spread_percent: float = Field(0.0, ge=0, le=20, description="Energy spread, 1 SD, percent.")
    isocenter_mm: tuple[float, float, float] | None = Field(
        None, description="Isocentre of a pencil beam into a CT, LPS, mm [default: centre of the body]."
    )
    gantry_deg: float | None = Field(None, ge=-360, le=360, description="Gantry angle for a CT [default: 0].")
    couch_deg: float | None = Field(None, ge=-360, le=360, description="Couch angle for a CT [default: 0].")
    cross_sections: str = Field("recommended", description="Emitter cross sections: recommended, gate or a CSV file.")
    hlut: Path | None = Field(None, description="HU calibration (CSV).")
    beam_model: Path | None = Field(None, description="Beam model of the machine.")
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = Field(
        None, description="Voxel size of a phantom, x y z, mm."
    )
    threads: int | None = Field(None, ge=1, le=1024, description="Threads [default: one a core].")
    volumes: bool = Field(True, description="Write the volumes of dose and nuclides.")


def simulate(
    params: SimulateParams,
    *,
    out: Path | None = None,
    seed: int = 0,
    device: Device = CPU,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Simulation:
    """Read, simulate and, where `out` is given, write profile, volumes and ``result.json``, all or nothing.

    Raises
    ------
    InputError, GeometryError, DicomError, CalibrationError
        Something handed in cannot be used; nothing was written.
    NotEvaluableError
        A beam of a kind that is not simulated.
    DeviceError
        A GPU was asked for by name.
    StoreError
        The folder cannot be written.
    Cancelled
    """
    from protonqa.analyses.montecarlo.where import transport_device
    from protonqa.analyses.run_folder import prove_writable

    _check_choice(params)
    where = transport_device(device)
    cross_sections = read_cross_sections(params.cross_sections)
    if out is not None:
        prove_writable(out)
    reading, running, writing = stages(progress, (1, 8, 1))
    report_progress(reading, cancel, 0, 1, "reading")
    anatomy, aimed, findings = _scene(params)
    findings += _cross_section_findings(params.cross_sections, cross_sections)
    report_progress(reading, cancel, 1, 1, "compiling")
    result = _run(params, anatomy, aimed, cross_sections, seed, where, running, cancel)
    simulation = Simulation.of(result, anatomy, aimed, findings, where)
    if out is None:
        return simulation
    return publish(simulation, out, settings=_settings(params), volumes=params.volumes, progress=writing)


def read_cross_sections(choice: str) -> CrossSections | None:
    """A packaged set by name or a user's CSV; None for the recommended one.

    A CSV replaces the curves of its channels; the others stay the recommended ones.

    Raises
    ------
    CalibrationError
        Not a known name and not a usable file.
    """
    from protonqa.physics.emission import CrossSections, cross_section_set

    if choice == "recommended":
        return None
    if Path(choice).suffix.lower() != ".csv":
        return cross_section_set(choice)
    from protonqa.files.cross_sections import read_cross_sections_csv

    standard = cross_section_set("recommended")
    return CrossSections(name="CSV", curves={**standard.curves, **read_cross_sections_csv(Path(choice))})


def _cross_section_findings(choice: str, used: CrossSections | None) -> tuple[Finding, ...]:
    """Which curves are not the user's own, where a file was given."""
    from protonqa.physics.emission import cross_section_set

    if used is None or Path(choice).suffix.lower() != ".csv":
        return ()
    standard = cross_section_set("recommended").curves
    kept = [name for name, curve in used.curves.items() if standard.get(name) is curve]
    if not kept:
        return ()
    text = f"Cross sections not in the file are the recommended ones: {', '.join(kept)}."
    return (Finding(severity=Severity.INFO, code="XS-RECOMMENDED", text=text),)


def _check_choice(params: SimulateParams) -> None:
    """One beam into one thing: no option is silently ignored."""
    if params.source is not None and params.ct is not None:
        raise InputError("SOURCE and --ct are both given", expected="one of them")
    if params.source is None and params.ct is None:
        raise InputError("there is nothing to simulate", expected="SOURCE with --energy-mev, or --ct with --plan")
    if params.plan is None:
        if params.energy_mev is None:
            raise InputError("the energy is missing", expected="--energy-mev, or --ct with --plan")
        if params.beam is not None:
            raise InputError("--beam belongs to a plan", expected="--plan FILE", remedy="leave it out")
        return
    given = [name for name in _PENCIL if name in params.model_fields_set and getattr(params, name) is not None]
    if given:
        name = given[0].replace("_", "-")
        raise InputError(f"--{name} belongs to a pencil beam", got="a plan too", remedy=f"leave out --plan or --{name}")
    if params.ct is None:
        raise InputError(
            "the CT of the plan is missing", expected="--ct DIR", remedy="give the CT the plan was made on"
        )


def _scene(params: SimulateParams) -> tuple[Anatomy, AimedBeam, tuple[Finding, ...]]:
    from protonqa.app.sources import load_anatomy
    from protonqa.files.calibrations import read_beam_model, read_hlut

    hlut = None if params.hlut is None else read_hlut(params.hlut)
    model = None if params.beam_model is None else read_beam_model(params.beam_model)
    if params.plan is not None:
        return _planned_scene(params, hlut, model)
    anatomy = load_anatomy(params.source or str(params.ct), hlut=hlut, spacing_mm=params.spacing_mm)
    return anatomy, _aimed_pencil(params, anatomy, model), anatomy.findings


def _planned_scene(
    params: SimulateParams, hlut: Hlut | None, model: BeamModel | None
) -> tuple[Anatomy, AimedBeam, tuple[Finding, ...]]:
    from protonqa.analyses.montecarlo.beams import field_into_patient, planned_beam
    from protonqa.app.sources import anatomy_of_ct
    from protonqa.dicom import read_case
    from protonqa.physics.beam_models import beam_model_findings, generic_beam_model

    if params.ct is None:
        raise InputError("the CT of the plan is missing", expected="--ct DIR")
    case = read_case(params.ct, plan=params.plan)
    if case.plan is None:
        raise InputError("there is no plan", expected="an RT Ion Plan")
    beam = planned_beam(case.plan, params.beam)
    used = model or generic_beam_model()
    aimed = field_into_patient(case.ct, case.plan, beam, used)
    anatomy = anatomy_of_ct(case.ct, hlut=hlut, info=case.ct_info, findings=case.findings)
    return anatomy, aimed, (*anatomy.findings, *beam_model_findings(used), *aimed.findings)


def _aimed_pencil(params: SimulateParams, anatomy: Anatomy, model: BeamModel | None) -> AimedBeam:
    from protonqa.analyses.montecarlo.beams import PencilBeam, into_face, into_patient

    if params.energy_mev is None:
        raise InputError("the energy is missing", expected="--energy-mev")
    if model is not None and params.model_fields_set & {"spot_sigma_mm", "energy_spread_percent"}:
        raise InputError(
            "beam model and spot are both given",
            expected="--beam-model, or --spot-sigma-mm and --energy-spread-percent",
            remedy="leave one out",
        )
    pencil = PencilBeam(
        energy_mev=params.energy_mev,
        spot_sigma_mm=params.spot_sigma_mm,
        energy_spread_percent=params.energy_spread_percent,
        model=model,
    )
    if anatomy.info is None:
        given = [name for name in _ANGLES if getattr(params, name) is not None]
        if given:
            raise InputError(
                f"--{given[0].replace('_', '-')} is for a DICOM CT",
                got="a phantom or a plain volume, which the beam enters along +z at the centre of its face",
                remedy="leave it out",
            )
        return into_face(anatomy.ct.grid, pencil)
    return into_patient(
        anatomy.ct,
        pencil,
        patient_position=anatomy.info.patient_position,
        isocenter_mm=params.isocenter_mm,
        gantry_deg=params.gantry_deg or 0.0,
        couch_deg=params.couch_deg or 0.0,
    )


def _run(
    params: SimulateParams,
    anatomy: Anatomy,
    aimed: AimedBeam,
    cross_sections: CrossSections | None,
    seed: int,
    device: Device,
    progress: Progress,
    cancel: Cancel | None,
) -> MonteCarloResult:
    from protonqa.montecarlo.simulation import compile_kernels
    from protonqa.montecarlo.simulation import simulate as transport

    compile_kernels()  # before the clock starts
    return transport(
        medium=anatomy.medium,
        source=aimed.source,
        protons=params.protons,
        seed=seed,
        cross_sections=cross_sections,
        box=aimed.box,
        threads=params.threads,
        device=device.kind,
        progress=lambda done, total: progress(done, total, "simulating protons"),
        cancelled=cancel,
    )


def _settings(params: SimulateParams) -> dict[str, Any]:
    """Parameters for the record; paths may name a patient, what was simulated stands in the numbers."""
    settings = params.model_dump(mode="json", exclude={"source", "ct", "plan", "hlut", "beam_model"})
    if Path(params.cross_sections).suffix:
        settings["cross_sections"] = "CSV"
    return settings
