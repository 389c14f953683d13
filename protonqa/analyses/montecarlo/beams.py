"""Beams into media: where a pencil beam or a field enters, where depth 0 lies, which part of the grid is tallied."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.errors import GeometryError, InputError, NotEvaluableError
from protonqa.geometry.corridor import corridor
from protonqa.geometry.frames import BeamFrame, beam_frame
from protonqa.montecarlo.range_shifter import USUAL_MATERIAL
from protonqa.montecarlo.source import MAX_DIVERGENCE_MRAD, Source, check_energy, field_source, pencil_beam
from protonqa.values import Beam, BeamModel, EnergyLayer, Finding, Grid, IonPlan, RangeShifter, Severity, Volume
from protonqa.values.plan import MAX_DISTANCE_MM, MAX_WET_MM

_SPOT_SIGMAS = 4.0
_MAX_SIGMA_MM = 200.0
_MAX_SPREAD_PERCENT = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PencilBeam:
    """A pencil beam: energy and shape as given, or as a beam model says for a nominal energy.

    Parameters
    ----------
    energy_mev : float
        Mean energy; the nominal one where `model` is given.
    spot_sigma_mm : float
        1 SD of the lateral Gaussian; not used with `model`.
    energy_spread_percent : float
        1 SD of the energy in percent of the mean; not used with `model`.
    divergence_mrad : float
        1 SD of the angles; the spot has its size where depth 0 is, in a patient at the isocentre. Not used with
        `model`.
    model : BeamModel or None
    range_shifter_mm : float
        Water-equivalent thickness of a slab of PMMA before the patient; 0 is none.
    range_shifter_gap_mm : float
        Air between the slab and the point of depth 0.

    Raises
    ------
    InputError
        Energy outside 1 to 300 MeV, or a size that is no such thing.
    """

    energy_mev: float
    spot_sigma_mm: float = 3.0
    energy_spread_percent: float = 0.0
    divergence_mrad: float = 0.0
    model: BeamModel | None = None
    range_shifter_mm: float = 0.0
    range_shifter_gap_mm: float = 50.0

    def __post_init__(self) -> None:
        check_energy(self.energy_mev)
        limits = {
            "spot_sigma_mm": _MAX_SIGMA_MM,
            "energy_spread_percent": _MAX_SPREAD_PERCENT,
            "divergence_mrad": MAX_DIVERGENCE_MRAD,
            "range_shifter_mm": MAX_WET_MM,
            "range_shifter_gap_mm": MAX_DISTANCE_MM,
        }
        for name, top in limits.items():
            value = getattr(self, name)
            if not 0.0 <= value <= top:
                raise InputError(f"{name} is out of range", got=f"{value:g}", expected=f"0 to {top:g}")

    def shifter(self, depth_mm: float) -> RangeShifter | None:
        """The slab, where the isocentre lies `depth_mm` behind the entry."""
        if self.range_shifter_mm == 0.0:
            return None
        return RangeShifter(
            name="slab",
            wet_mm=self.range_shifter_mm,
            distance_mm=self.range_shifter_gap_mm + depth_mm,
            material=USUAL_MATERIAL,
        )

    def source(self, grid: Grid, frame: BeamFrame, depth_mm: float = 0.0) -> Source:
        """The beam along the axis of `frame`, whose isocentre lies `depth_mm` behind the entry.

        Depth is counted from the plane of the isocentre.
        """
        if self.model is None:
            return pencil_beam(
                grid,
                position_mm=frame.isocenter_mm,
                direction=frame.direction,
                energy_mev=self.energy_mev,
                spot_sigma_mm=self.spot_sigma_mm,
                energy_spread_percent=self.energy_spread_percent,
                divergence_mrad=self.divergence_mrad,
                range_shifter=self.shifter(depth_mm),
            )
        spot = EnergyLayer(energy_mev=self.energy_mev, spot_xy_mm=np.zeros((1, 2)), meterset_mu=np.ones(1))
        beam = Beam(
            number=1,
            name="pencil beam",
            gantry_deg=0.0,
            couch_deg=0.0,
            isocenter_mm=tuple(float(v) for v in frame.isocenter_mm),  # type: ignore[arg-type]
            layers=(spot,),
            range_shifter=self.shifter(depth_mm),
        )
        # One proton: results per proton, and no total that a single spot does not have.
        return replace(field_source(grid, beam, frame, self.model), protons=0.0)

    def reach_mm(self) -> float:
        """Half-width of the spot with its tails."""
        if self.model is None:
            return _SPOT_SIGMAS * self.spot_sigma_mm
        at = self.model.at(self.energy_mev)
        return _SPOT_SIGMAS * max(at["sigma_x_mm"], at["sigma_y_mm"])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AimedBeam:
    """A beam and where it goes.

    Parameters
    ----------
    source : Source
        With the point of depth 0.
    box : Grid or None
        Where volumes are tallied; None is the whole grid.
    frame : BeamFrame
    depth_zero_mm : (3,)
        LPS.
    """

    source: Source
    box: Grid | None
    frame: BeamFrame
    depth_zero_mm: NDArray[np.float64]
    findings: tuple[Finding, ...] = ()


def into_face(grid: Grid, beam: PencilBeam) -> AimedBeam:
    """A pencil beam along +z of the grid into the centre of its face z = 0, where depth 0 is."""
    _, ny, nx = grid.shape
    face = grid.world_from_index(((nx - 1) / 2, (ny - 1) / 2, -0.5))
    # Headers hold rounded directions; the frame wants them perpendicular.
    direction = grid.direction[:, 2] / np.linalg.norm(grid.direction[:, 2])
    x_axis = grid.direction[:, 0] - (grid.direction[:, 0] @ direction) * direction
    x_axis = x_axis / np.linalg.norm(x_axis)
    frame = BeamFrame(isocenter_mm=face, x_axis=x_axis, y_axis=np.cross(-direction, x_axis), direction=direction)
    return AimedBeam(source=beam.source(grid, frame), box=None, frame=frame, depth_zero_mm=face)


def into_patient(
    ct: Volume,
    beam: PencilBeam,
    *,
    patient_position: str,
    isocenter_mm: ArrayLike | None = None,
    gantry_deg: float = 0.0,
    couch_deg: float = 0.0,
) -> AimedBeam:
    """A pencil beam through a point of a CT; depth 0 is its entry into the body.

    Parameters
    ----------
    isocenter_mm : (3,) or None
        LPS; None is the centre of the body (the mean position of its voxels).

    Raises
    ------
    GeometryError
        No body in the CT, unknown patient position, an axis that misses the body.
    """
    from protonqa.geometry.body import body_mask

    body = body_mask(ct)
    center = body_center_mm(body, ct.grid) if isocenter_mm is None else np.asarray(isocenter_mm, dtype=np.float64)
    frame = beam_frame(patient_position, gantry_deg, couch_deg, center)
    entry = _entry_mm(body, ct.grid, frame)
    reach = np.full((1, 2), beam.reach_mm())
    depth_mm = float((center - entry) @ frame.direction)
    source = _counted_from(beam.source(ct.grid, frame, depth_mm), ct.grid, entry)
    return AimedBeam(
        source=source, box=corridor(ct.grid, frame, np.concatenate([-reach, reach])), frame=frame, depth_zero_mm=entry
    )


def field_into_patient(ct: Volume, plan: IonPlan, beam: Beam, model: BeamModel) -> AimedBeam:
    """All spots of a field; depth is counted along the beam axis from its entry into the body.

    Raises
    ------
    NotEvaluableError
        The beam is of a kind that is not simulated, or its range shifter of unknown thickness.
    GeometryError
        An axis that misses the body.
    InputError
        No spot with weight, a beam that stops in its range shifter.
    """
    from protonqa.geometry.body import body_mask

    if beam.unsupported:
        raise NotEvaluableError(f"beam {beam.number} cannot be simulated", got="; ".join(beam.unsupported))
    frame = beam_frame(plan.patient_position, beam.gantry_deg, beam.couch_deg, beam.isocenter_mm)
    source = field_source(ct.grid, beam, frame, model)
    entry = _entry_mm(body_mask(ct), ct.grid, frame)
    spots = np.concatenate([layer.spot_xy_mm[layer.meterset_mu > 0] for layer in beam.layers])
    text = (
        "Depth curves of a field are integrated over its whole cross section and counted along the beam axis: R80 is "
        "that of the integrated curve, not of a ray."
    )
    return AimedBeam(
        source=_counted_from(source, ct.grid, entry),
        box=corridor(ct.grid, frame, spots),
        frame=frame,
        depth_zero_mm=entry,
        findings=(Finding(severity=Severity.INFO, code="SIM-FIELD-CURVES", text=text),),
    )


def planned_beam(plan: IonPlan, number: int | None) -> Beam:
    """The beam with this number, or the only one.

    Raises
    ------
    InputError
        No such beam, or several and none named.
    """
    if number is not None:
        return plan.beam(number)
    if len(plan.beams) == 1:
        return plan.beams[0]
    have = ", ".join(str(beam.number) for beam in plan.beams) or "none"
    raise InputError("the plan does not have exactly one beam", got=f"beams {have}", remedy="name one with --beam")


def body_center_mm(body: NDArray[np.bool_], grid: Grid) -> NDArray[np.float64]:
    """Mean LPS position of the voxels of a body mask."""
    return grid.world_from_index(np.argwhere(body).mean(axis=0)[::-1])


def _entry_mm(body: NDArray[np.bool_], grid: Grid, frame: BeamFrame) -> NDArray[np.float64]:
    from protonqa.geometry.rays import cast_rays_at

    axis = cast_rays_at(body, grid, frame, np.zeros((1, 2)))
    if not axis.valid[0]:
        raise GeometryError(
            "the beam axis misses the body",
            expected="an isocentre and angles whose axis passes through the body",
            remedy="check --isocenter-mm (DICOM LPS, mm), --gantry-deg and --couch-deg",
        )
    return np.asarray(axis.start_mm[0])


def _counted_from(source: Source, grid: Grid, depth_zero_mm: NDArray[np.float64]) -> Source:
    return replace(source, reference=grid.local_from_world(depth_zero_mm))
