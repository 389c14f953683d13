"""`simulate`: Monte Carlo of a pencil beam or of a plan, from files to profile, volumes and result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from protonqa.app.progress import Cancel, Progress, report_progress, stages
from protonqa.app.simulated import Simulation, publish
from protonqa.device import CPU, Device
from protonqa.errors import InputError
from protonqa.values import BeamModel, Finding, Hlut

if TYPE_CHECKING:
    from protonqa.analyses.montecarlo.beams import AimedBeam
    from protonqa.analyses.montecarlo.cross_sections import CrossSectionSpread
    from protonqa.app.sources import Anatomy
    from protonqa.montecarlo.memory import Memory
    from protonqa.montecarlo.result import MonteCarloResult
    from protonqa.physics.emission import CrossSections

#: Options of a pencil beam; a plan brings its own.
_PENCIL = (
    "energy_mev",
    "spot_sigma_mm",
    "energy_spread_percent",
    "divergence_mrad",
    "range_shifter_mm",
    "range_shifter_gap_mm",
    "isocenter_mm",
    "gantry_deg",
    "couch_deg",
)
_ANGLES = ("isocenter_mm", "gantry_deg", "couch_deg")
#: Options that a beam model brings itself.
_SPOT = {"spot_sigma_mm", "energy_spread_percent", "divergence_mrad"}
#: State of an unfinished run, in the folder of its result.
STATE_FILE = "unfinished.npz"


class SimulateParams(BaseModel):
    """A pencil beam into SOURCE, or the plan on a CT."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    source: str | None = Field(
        None, description="Phantom name, twin:SEED, phantom YAML, .mha volume (HU) or CT (DICOM folder or zip)."
    )
    protons: int = Field(ge=1, le=2_000_000_000, description="Simulated protons; the most, with --until-percent.")
    energy_mev: float | None = Field(None, ge=1, le=300, description="Energy of the pencil beam, MeV.")
    ct: Path | None = Field(None, description="CT of the plan: DICOM folder or zip.")
    plan: Path | None = Field(None, description="RT Ion Plan.")
    beam: int | None = Field(None, ge=0, description="Beam number, where the plan has several.")
    spot_sigma_mm: float = Field(3.0, ge=0, le=200, description="Spot size of the pencil beam, 1 SD, mm.")
    energy_spread_percent: float = Field(0.0, ge=0, le=20, description="Energy spread, 1 SD, percent.")
    divergence_mrad: float = Field(0.0, ge=0, le=100, description="Divergence of the pencil beam, 1 SD, mrad.")
    range_shifter_mm: float = Field(
        0.0, ge=0, le=500, description="Range shifter of a pencil beam: PMMA of this thickness in water, mm."
    )
    range_shifter_gap_mm: float = Field(50.0, ge=0, le=3000, description="Air between range shifter and depth 0, mm.")
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
    dose: Literal["water", "both"] = Field("water", description="Dose volumes: to water, or to the medium too.")
    uncertainty: bool = Field(False, description="Write the statistical error of the dose in every voxel.")
    until_percent: float | None = Field(
        None, ge=0.01, le=50, description="Stop when the dose above half of its highest is known to this, percent."
    )
    beam_quality: bool = Field(False, description="Write dose-averaged LET and mean energy of the protons.")
    cross_section_spread: bool = Field(False, description="Compare the yields under both sets of cross sections.")
    resume: bool = Field(False, description="Keep the state of the run in --out, and go on from one that is there.")


def simulate(
    params: SimulateParams,
    *,
    out: Path | None = None,
    seed: int = 0,
    device: Device = CPU,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    notice: Callable[[str], None] | None = None,
) -> Simulation:
    """Read, simulate and, where `out` is given, write profile, volumes and ``result.json``, all or nothing.

    Parameters
    ----------
    params : SimulateParams
    out : Path, optional
        Folder of the result, and of the state of an unfinished run where ``params.resume`` asks for it.
    notice : callable, optional
        Gets the line that says what memory the run needs, before it starts.

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
    from protonqa.analyses.montecarlo.cross_sections import cross_section_findings, read_cross_sections
    from protonqa.analyses.montecarlo.outputs import stop_findings
    from protonqa.analyses.montecarlo.where import device_findings, transport_device
    from protonqa.analyses.run_folder import prove_writable

    _check_choice(params)
    if params.resume and out is None:
        raise InputError("there is no folder to keep the state in", expected="--out with --resume")
    where = transport_device(device)
    cross_sections = read_cross_sections(params.cross_sections)
    if out is not None:
        prove_writable(out)
    reading, running, writing = stages(progress, (1, 8, 1))
    report_progress(reading, cancel, 0, 1, "reading")
    anatomy, aimed, findings = _scene(params)
    findings += cross_section_findings(cross_sections) + device_findings(device, where)
    report_progress(reading, cancel, 1, 1, "compiling")
    run = _Run(progress=running, notice=notice)
    state = out / STATE_FILE if out is not None and params.resume else None
    result = run.transport(params, anatomy, aimed, cross_sections, seed, where, cancel, state)
    findings += stop_findings(result, params.until_percent)
    simulation = Simulation.of(
        result,
        anatomy,
        aimed,
        findings,
        where,
        asked=params.protons,
        resumed_from=run.resumed_from,
        memory=run.memory,
        spread=_spread(params, anatomy, aimed, cross_sections, seed),
    )
    if out is None:
        return simulation
    return publish(
        simulation, out, settings=_settings(params), volumes=params.volumes, dose=params.dose, progress=writing
    )


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
    if model is not None and params.model_fields_set & _SPOT:
        raise InputError(
            "beam model and spot are both given",
            expected="--beam-model, or --spot-sigma-mm, --energy-spread-percent and --divergence-mrad",
            remedy="leave one out",
        )
    pencil = PencilBeam(
        energy_mev=params.energy_mev,
        spot_sigma_mm=params.spot_sigma_mm,
        energy_spread_percent=params.energy_spread_percent,
        divergence_mrad=params.divergence_mrad,
        model=model,
        range_shifter_mm=params.range_shifter_mm,
        range_shifter_gap_mm=params.range_shifter_gap_mm,
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


class _Run:
    """A run of the Monte Carlo, and what it tells on the way: its memory, and how far it had come before."""

    def __init__(self, *, progress: Progress, notice: Callable[[str], None] | None) -> None:
        self._progress, self._notice = progress, notice
        self._heard = False
        self.memory: Memory | None = None
        self.resumed_from = 0

    def transport(
        self,
        params: SimulateParams,
        anatomy: Anatomy,
        aimed: AimedBeam,
        cross_sections: CrossSections | None,
        seed: int,
        device: Device,
        cancel: Cancel | None,
        state: Path | None,
    ) -> MonteCarloResult:
        from protonqa.montecarlo.simulation import compile_kernels, simulate

        self._heard = state is None or not state.exists()
        # Before the clock starts.
        compile_kernels(device.kind, range_shifter=aimed.source.slab is not None)
        return simulate(
            medium=anatomy.medium,
            source=aimed.source,
            protons=params.protons,
            seed=seed,
            cross_sections=cross_sections,
            box=aimed.box,
            threads=params.threads,
            device=device.kind,
            uncertainty=params.uncertainty,
            until_percent=params.until_percent,
            beam_quality=params.beam_quality,
            resume_file=state,
            announce=self._announce,
            progress=self._tell,
            cancelled=cancel,
        )

    def _announce(self, memory: Memory) -> None:
        self.memory = memory
        if self._notice is not None:
            self._notice(memory.line())

    def _tell(self, done: int, total: int) -> None:
        if not self._heard:
            # The first word of a run that found a state is how far that had come.
            self._heard, self.resumed_from = True, done
            if self._notice is not None:
                self._notice(f"going on from {done} of {total} protons")
        self._progress(done, total, "simulating protons")


def _spread(
    params: SimulateParams, anatomy: Anatomy, aimed: AimedBeam, used: CrossSections | None, seed: int
) -> CrossSectionSpread | None:
    if not params.cross_section_spread:
        return None
    from protonqa.analyses.montecarlo.cross_sections import cross_section_spread

    return cross_section_spread(
        anatomy.medium, aimed.source, used=used, seed=seed, protons=params.protons, threads=params.threads
    )


def _settings(params: SimulateParams) -> dict[str, Any]:
    """Parameters for the record; paths may name a patient, what was simulated stands in the numbers."""
    settings = params.model_dump(mode="json", exclude={"source", "ct", "plan", "hlut", "beam_model"})
    if Path(params.cross_sections).suffix:
        settings["cross_sections"] = "CSV"
    return settings
