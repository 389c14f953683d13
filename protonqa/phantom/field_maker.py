"""Field maker: CT, spherical target and beam angles in, a one-beam scanned proton plan out.

Rays from the virtual sources run through spots on a hexagonal lattice; each ray gets a flat dose over its own
water-equivalent interval through the target. The isocentre is the target centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.errors import InputError
from protonqa.geometry.body import body_mask
from protonqa.geometry.frames import BeamFrame, beam_frame
from protonqa.geometry.rays import RaySet, cast_rays_at
from protonqa.phantom.layers import LayerStack, beam_width_mm, layer_ranges_mm, layer_stack, range_limits_mm
from protonqa.phantom.pencil_beam import WaterDepth, rsp_volume, superposed_dose_gy, water_depth
from protonqa.phantom.spots import (
    DepthIntervals,
    FieldMargins,
    cell_area_cm2,
    depth_intervals,
    hexagonal_spots_mm,
    spot_fluence,
)
from protonqa.phantom.target import SphericalTarget, check_target
from protonqa.physics.beam_models import beam_model_findings, generic_beam_model
from protonqa.values import Beam, BeamModel, EnergyLayer, Finding, Grid, Hlut, IonPlan, Severity, Volume

FloatArray = NDArray[np.float64]

_FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
_MIN_UPSTREAM_MM = 2.0
# Defaults of the margins: 1.65 SD gives a straight rim 95 %, the lattice costs a little; 1.5 SD before its distal
# 80 % a spread-out peak is at full height.
_LATERAL_SIGMAS, _DISTAL_SIGMAS, _LEAST_DISTAL_MM = 1.8, 1.5, 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSettings:
    """How a field is laid out.

    Parameters
    ----------
    spot_spacing_mm : float
        Distance of neighbouring spots in the isocentre plane.
    layer_step_mm : float or None
        Distance of the energy layers in water; None follows the width of the Bragg peak at each depth.
    lateral_margin_mm : float or None
        Around the target, across the beam; None is 1.8 SD of the spot at the target's depth, which gives its rim about
        95 % of the dose.
    proximal_margin_mm : float
        Before the target, millimetres of water.
    distal_margin_mm : float or None
        From the target to the distal 80 % of the dose, millimetres of water; None is 1.5 SD of the proton ranges, at
        least 3 mm.
    min_spot_mu : float
        Spots below this are left out and the rest is scaled up.
    """

    spot_spacing_mm: float = 5.0
    layer_step_mm: float | None = None
    lateral_margin_mm: float | None = None
    proximal_margin_mm: float = 3.0
    distal_margin_mm: float | None = None
    min_spot_mu: float = 0.003

    def __post_init__(self) -> None:
        for name in ("spot_spacing_mm", "layer_step_mm"):
            self._require_mm(name, 0.5, 50.0)
        for name in ("lateral_margin_mm", "proximal_margin_mm", "distal_margin_mm"):
            self._require_mm(name, 0.0, 100.0)
        if not 0.0 <= self.min_spot_mu < np.inf:
            raise InputError("min_spot_mu is not a meterset", got=f"{self.min_spot_mu} MU", expected="0 MU or more")

    def _require_mm(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if value is not None and not low <= value <= high:
            raise InputError(f"{name} is out of range", got=f"{value} mm", expected=f"{low:g} to {high:g} mm")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FieldDesign:
    """A made field and what was found on the way.

    ``dose_center_gy`` is the pencil-beam estimate at the target centre, see `protonqa.phantom.pencil_beam`;
    ``protons`` (n_layer, n_ray) are the spots on ``depths``, of which those above 0 stand in ``plan``.
    """

    plan: IonPlan
    findings: tuple[Finding, ...]
    dose_center_gy: float
    margins: FieldMargins
    depths: WaterDepth
    stack: LayerStack
    intervals: DepthIntervals
    protons: FloatArray


def make_field(
    ct: Volume,
    *,
    patient_position: str,
    target_center_mm: ArrayLike,
    target_radius_mm: float,
    gantry_deg: float,
    couch_deg: float = 0.0,
    dose_gy: float = 2.0,
    beam_model: BeamModel | None = None,
    hlut: Hlut | None = None,
    settings: FieldSettings | None = None,
    frame_of_reference_uid: str = "",
) -> IonPlan:
    """The plan that `design_field` makes, without its findings; same parameters and errors."""
    design = design_field(
        ct,
        patient_position=patient_position,
        target_center_mm=target_center_mm,
        target_radius_mm=target_radius_mm,
        gantry_deg=gantry_deg,
        couch_deg=couch_deg,
        dose_gy=dose_gy,
        beam_model=beam_model,
        hlut=hlut,
        settings=settings,
        frame_of_reference_uid=frame_of_reference_uid,
    )
    return design.plan


def design_field(
    ct: Volume,
    *,
    patient_position: str,
    target_center_mm: ArrayLike,
    target_radius_mm: float,
    gantry_deg: float,
    couch_deg: float = 0.0,
    dose_gy: float = 2.0,
    beam_model: BeamModel | None = None,
    hlut: Hlut | None = None,
    settings: FieldSettings | None = None,
    frame_of_reference_uid: str = "",
    body: NDArray[np.bool_] | None = None,
) -> FieldDesign:
    """Make a scanned proton field for a spherical target.

    Parameters
    ----------
    ct : Volume
        In HU. Everything in it counts, couch and masks too.
    patient_position : str
        PatientPosition of the CT; the plan gets the same.
    target_center_mm : (3,)
        LPS; also the isocentre.
    target_radius_mm : float
    gantry_deg, couch_deg : float
        IEC 61217.
    dose_gy : float
        Dose to water at the target centre.
    beam_model : BeamModel, optional
        By default the generic one, with a finding.
    hlut : Hlut, optional
        By default the generic HU calibration, with a finding.
    settings : FieldSettings, optional
    frame_of_reference_uid : str
        Of the CT, passed on to the plan.
    body : (nz, ny, nx) bool, optional
        Body mask of the CT where the caller has it already; by default `protonqa.geometry.body.body_mask`.

    Returns
    -------
    FieldDesign
        The same input gives the same plan to the last bit.

    Raises
    ------
    InputError
        Not a CT; sizes, angles or dose that are no such thing; a target that needs more or less than the energies of
        the machine; a dose so small that no spot reaches the least monitor units.
    GeometryError
        A target outside the CT or the body, or in air.
    """
    settings = settings or FieldSettings()
    if ct.unit != "HU":
        raise InputError("the CT is not in Hounsfield units", got=ct.unit, expected="HU")
    if not (np.isfinite(dose_gy) and dose_gy > 0):
        raise InputError("dose is not positive", got=f"{dose_gy} Gy", expected="above 0 Gy")
    target = SphericalTarget(center_mm=np.asarray(target_center_mm, dtype=np.float64), radius_mm=target_radius_mm)
    frame = beam_frame(patient_position, gantry_deg, couch_deg, target.center_mm)
    body = body_mask(ct) if body is None else body
    rsp = rsp_volume(ct, hlut)
    check_target(target, rsp, body)
    scene = _Scene(rsp=rsp, body=body, frame=frame, model=beam_model or generic_beam_model())
    margins, depths, intervals = _laid_out(scene, target.radius_mm, settings)
    stack = _layers(scene.model, intervals, settings)
    protons, estimate = _scaled(depths, stack, intervals, dose_gy, settings)
    plan = IonPlan(
        patient_position=patient_position,
        beams=(_beam(depths.rays, stack, protons, gantry_deg, couch_deg),),
        label="protonqa field",
        frame_of_reference_uid=frame_of_reference_uid,
        approval_status="UNAPPROVED",
    )
    return FieldDesign(
        plan=plan,
        findings=(
            *beam_model_findings(scene.model),
            *_hlut_findings(hlut),
            *_path_findings(ct.grid, depths, intervals, stack),
        ),
        dose_center_gy=estimate,
        margins=margins,
        depths=depths,
        stack=stack,
        intervals=intervals,
        protons=protons,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Scene:
    """What the rays run through."""

    rsp: Volume
    body: NDArray[np.bool_]
    frame: BeamFrame
    model: BeamModel

    def depths_at(self, lateral_mm: FloatArray) -> WaterDepth:
        """Rays through these positions of the isocentre plane; those that miss the body are left out."""
        rays = cast_rays_at(self.body, self.rsp.grid, self.frame, lateral_mm, sad_mm=self.model.virtual_sad_mm)
        return water_depth(self.rsp, rays.select(rays.valid))


def _laid_out(
    scene: _Scene, radius_mm: float, settings: FieldSettings
) -> tuple[FieldMargins, WaterDepth, DepthIntervals]:
    """Margins, rays and their intervals; the axis alone sets the margins that follow the depth."""
    axis = scene.depths_at(np.zeros((1, 2))).at_way(np.array([[0.0, radius_mm]]))[0]
    range_sd, spot_sd = beam_width_mm(float(axis[1]), scene.model)
    lateral, distal = settings.lateral_margin_mm, settings.distal_margin_mm
    margins = FieldMargins(
        lateral_mm=_LATERAL_SIGMAS * spot_sd if lateral is None else lateral,
        proximal_mm=settings.proximal_margin_mm,
        distal_mm=max(_DISTAL_SIGMAS * range_sd, _LEAST_DISTAL_MM) if distal is None else distal,
    )
    depths = scene.depths_at(hexagonal_spots_mm(radius_mm + margins.lateral_mm, settings.spot_spacing_mm))
    return margins, depths, depth_intervals(depths, radius_mm, margins)


def _layers(model: BeamModel, intervals: DepthIntervals, settings: FieldSettings) -> LayerStack:
    shortest = range_limits_mm(model)[0]
    nearest = float(intervals.target_proximal_mm[intervals.through_target].min())
    if nearest < shortest:
        raise InputError(
            "the target reaches shallower than the lowest energy",
            got=f"{nearest:.1f} mm water-equivalent",
            expected=f"at least {shortest:.1f} mm ({model.nominal_mev[0]:g} MeV)",
            remedy="choose another gantry angle, a deeper or a smaller target; range shifters are not used here",
        )
    deepest, shallowest = float(intervals.distal_mm.max()), float(intervals.proximal_mm.min())
    return layer_stack(layer_ranges_mm(deepest, shallowest, model, step_mm=settings.layer_step_mm), model)


def _scaled(
    depths: WaterDepth, stack: LayerStack, intervals: DepthIntervals, dose: float, settings: FieldSettings
) -> tuple[FloatArray, float]:
    """Protons of each spot for the wanted dose at the centre, and that dose after dropping the faint spots."""
    protons = spot_fluence(stack, intervals, depths.rays.sad_mm) * cell_area_cm2(settings.spot_spacing_mm)
    center = np.zeros((1, 3))
    protons *= dose / float(superposed_dose_gy(depths, stack, protons, center)[0])
    least = settings.min_spot_mu * stack.protons_per_mu[:, None]
    kept = np.where(protons >= least, protons, 0.0)
    reached = float(superposed_dose_gy(depths, stack, kept, center)[0])
    if reached < 0.5 * dose:
        raise InputError(
            "the dose is too small for the least monitor units of a spot",
            got=f"{dose:g} Gy, {settings.min_spot_mu:g} MU a spot",
            expected="at least half of the dose in spots that can be delivered",
            remedy="raise the dose or the spot spacing",
        )
    kept *= dose / reached
    return kept, float(superposed_dose_gy(depths, stack, kept, center)[0])


def _beam(rays: RaySet, stack: LayerStack, protons: FloatArray, gantry_deg: float, couch_deg: float) -> Beam:
    layers = []
    for i in range(stack.n_layer):
        used = np.flatnonzero(protons[i])
        if used.size:
            fwhm = _FWHM_PER_SIGMA * stack.sigma_mm[i]
            layers.append(
                EnergyLayer(
                    energy_mev=float(stack.nominal_mev[i]),
                    spot_xy_mm=rays.lateral_mm[used],
                    meterset_mu=protons[i, used] / stack.protons_per_mu[i],
                    spot_fwhm_mm=(float(fwhm[0]), float(fwhm[1])),
                )
            )
    return Beam(
        number=1,
        name=f"G{gantry_deg:g} C{couch_deg:g}",
        gantry_deg=float(gantry_deg),
        couch_deg=float(couch_deg),
        isocenter_mm=tuple(float(v) for v in rays.frame.isocenter_mm),  # type: ignore[arg-type]
        layers=tuple(layers),
        virtual_sad_mm=rays.sad_mm,
    )


def _hlut_findings(hlut: Hlut | None) -> list[Finding]:
    if hlut is not None:
        return []
    text = "No HU calibration was given: the generic one stands in; RSP errors of 2-3 % in soft tissue are possible."
    return [Finding(severity=Severity.WARNING, code="HLUT-GENERIC", text=text)]


def _path_findings(grid: Grid, depths: WaterDepth, intervals: DepthIntervals, stack: LayerStack) -> list[Finding]:
    """What the beam meets that the user should know."""
    findings = []
    rays = depths.rays
    outside = rays.position_mm(-0.5 * min(grid.spacing_mm))[:, 0]
    index = grid.index_from_world(outside)
    last = np.array(grid.shape[::-1]) - 0.5
    cut = float(((index < -0.5) | (index > last)).any(axis=1).mean())
    if cut > 0:
        text = (
            f"{100 * cut:.0f} % of the rays enter the body through the edge of the CT: what lies before is not counted."
        )
        findings.append(Finding(severity=Severity.WARNING, code="FIELD-ENTRY-CUT", text=text))
    upstream = float(np.median(depths.wepl_mm[:, 0]))
    if upstream > _MIN_UPSTREAM_MM:
        text = f"The beam passes {upstream:.1f} mm (water-equivalent) of couch or other material before the body."
        findings.append(Finding(severity=Severity.INFO, code="FIELD-UPSTREAM-MATERIAL", text=text))
    shallow = int((intervals.proximal_mm[intervals.through_target] < stack.range_mm.min() - 0.5).sum())
    if shallow:
        text = f"The proximal margin of {shallow} rays is cut: it lies before the range of the lowest energy."
        findings.append(Finding(severity=Severity.INFO, code="FIELD-PROXIMAL-CUT", text=text))
    return findings
