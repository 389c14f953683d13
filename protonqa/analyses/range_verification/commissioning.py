"""Acceptance test of range verification: phantoms whose true shift is known from their own Monte Carlo."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from protonqa.analyses.forward import FieldSimulation, pet_grid, pet_of_field, simulate_field
from protonqa.analyses.interface import Check, Commissioning, Context
from protonqa.analyses.range_verification.truth import judged_rays, true_shift_mm
from protonqa.geometry.body import body_mask
from protonqa.phantom import voxel_phantom
from protonqa.phantom.field_maker import make_field
from protonqa.phantom.surface import paint_layer, peel_layer
from protonqa.values import AnalysisResult, Case, IonPlan, PetImage, PetTiming, SeriesInfo, State, Timeline, Volume

if TYPE_CHECKING:
    from protonqa.analyses.range_verification.params import VerifyParams

ERROR_LIMIT_MM = 1.0
PSF_MM = 5.0
TIMELINE = Timeline(irradiation_s=90.0, delay_s=150.0, acquisition_s=1200.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Bench:
    """One phantom with its plan and planned simulation."""

    ct: Volume
    body: NDArray[np.bool_]
    plan: IonPlan
    planned: FieldSimulation
    protons: int


def commission(context: Context[VerifyParams]) -> Commissioning:
    """Known shifts of 0, about -5 and about +4 mm in the abdomen phantom, and a PET of pure noise.

    The delivered activity is made with other seeds and, where said, with another cross-section set and washout than the
    verification assumes.
    """
    bench = _bench(context)
    deliveries = (
        ("unchanged", bench.ct, "recommended", "parodi-hu", State.PASS),
        ("layer-5-mm", paint_layer(bench.ct, bench.body, 5.0), "recommended", "parodi-hu", State.FAIL),
        ("peeled-4-mm", peel_layer(bench.ct, bench.body, 4.0), "gate", "toramatsu-o15", State.FAIL),
    )
    checks: list[Check] = []
    for i, (name, ct, cross_sections, washout, expected) in enumerate(deliveries):
        context.progress(i, len(deliveries) + 1, name)
        checks += _delivery_checks(context, bench, name, ct, cross_sections, washout, expected, i)
    context.progress(len(deliveries), len(deliveries) + 1, "noise")
    checks.append(_noise_check(context, bench))
    return Commissioning(checks=tuple(checks))


def _bench(context: Context[VerifyParams]) -> _Bench:
    phantom = voxel_phantom("abdomen")
    ct = phantom.volume()
    liver = np.argwhere(phantom.tissue_mask("liver")).mean(axis=0)[::-1]
    plan = make_field(
        ct,
        patient_position="HFS",
        target_center_mm=tuple(ct.grid.world_from_index(liver)),
        target_radius_mm=25.0,
        gantry_deg=270.0,
    )
    protons = 60_000 if context.quick else 300_000
    planned = simulate_field(ct, plan, plan.beams[0], protons=protons, seed=context.seed + 11)
    return _Bench(ct=ct, body=body_mask(ct), plan=plan, planned=planned, protons=protons)


def _run(context: Context[VerifyParams], bench: _Bench, pet: Volume) -> AnalysisResult:
    from protonqa.analyses.range_verification import RangeVerification

    image = PetImage(volume=pet, timing=PetTiming(decay_correction="NONE"), info=SeriesInfo(modality="PT"))
    case = Case(ct=bench.ct, ct_info=SeriesInfo(modality="CT"), plan=bench.plan, pet=image, timeline=TIMELINE)
    params = context.params.model_copy(update={"protons": bench.protons, "psf_mm": PSF_MM})
    return RangeVerification().run(replace(context, inputs={"case": case}, params=params, on_progress=None))


def _delivery_checks(
    context: Context[VerifyParams],
    bench: _Bench,
    name: str,
    ct: Volume,
    cross_sections: str,
    washout: str,
    expected: State,
    index: int,
) -> list[Check]:
    beam = bench.plan.beams[0]
    delivered = simulate_field(
        ct, bench.plan, beam, protons=bench.protons, seed=context.seed + 21 + index, cross_sections=cross_sections
    )
    pet = pet_of_field(
        delivered, pet_grid(bench.ct.grid), TIMELINE, washout=washout, psf_mm=PSF_MM, counts=1e6, seed=context.seed
    )
    result = _run(context, bench, pet)
    found = result.value("mean_shift")
    truth = true_shift_mm(bench.planned, delivered, bench.body, bench.ct.grid, judged_rays(result, beam.number))
    error = None if found is None else found - truth
    return [
        Check(
            name=f"{name}-error",
            title=f"{name}: found minus true shift ({truth:+.2f} mm)",
            value=error,
            unit="mm",
            limit=ERROR_LIMIT_MM,
            comparison="abs<=",
        ),
        Check(
            name=f"{name}-state",
            title=f"{name}: state is {expected.value}",
            value=float(result.state is expected),
            unit="1",
            limit=1.0,
            comparison="==",
        ),
    ]


def _noise_check(context: Context[VerifyParams], bench: _Bench) -> Check:
    grid = pet_grid(bench.ct.grid)
    noise = context.rng("noise").poisson(3.0, grid.shape).astype(np.float32)
    result = _run(context, bench, Volume(grid=grid, array=noise, unit="Bq/ml"))
    return Check(
        name="noise-never-passes",
        title="a PET of pure noise is not PASS",
        value=float(result.state is State.PASS),
        unit="1",
        limit=0.0,
        comparison="==",
    )
