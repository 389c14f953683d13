"""The forward model: a plan on an anatomy -> dose and the PET it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError
from protonqa.geometry.corridor import corridor
from protonqa.geometry.frames import BeamFrame, beam_frame
from protonqa.geometry.resample import resample
from protonqa.montecarlo.result import MonteCarloResult
from protonqa.values import Beam, BeamModel, Grid, Hlut, IonPlan, Timeline, Volume

PET_SPACING_MM = (3.0, 3.0, 3.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FieldSimulation:
    """The Monte Carlo of one beam on one anatomy, with the CT numbers of its box and the RSP of the whole grid."""

    result: MonteCarloResult
    hu: NDArray[np.float32]
    rsp: NDArray[np.float32]
    beam: Beam
    frame: BeamFrame

    def dose(self) -> Volume:
        """Dose to water of the whole field (Gy)."""
        array = self.result.dose_water_gy * np.float32(self.result.field_protons)
        return Volume(grid=self.result.grid, array=array, unit="Gy")


def choose_beam(plan: IonPlan, number: int | None) -> Beam:
    """The beam asked for, or the only one.

    Raises
    ------
    InputError
        Several beams and none asked for, no beam, or a beam that cannot be simulated.
    """
    if number is not None:
        beam = plan.beam(number)
    elif len(plan.beams) == 1:
        beam = plan.beams[0]
    else:
        have = ", ".join(str(b.number) for b in plan.beams) or "none"
        raise InputError("the plan does not have exactly one beam", got=f"beams {have}", remedy="name one with --beam")
    if beam.unsupported:
        raise InputError(f"beam {beam.number} cannot be simulated", got="; ".join(beam.unsupported))
    return beam


def simulate_field(
    ct: Volume,
    plan: IonPlan,
    beam: Beam,
    *,
    protons: int,
    seed: int,
    hlut: Hlut | None = None,
    model: BeamModel | None = None,
    cross_sections: str = "recommended",
    box: Grid | None = None,
    progress: Callable[[float, float, str], None] | None = None,
) -> FieldSimulation:
    """Monte Carlo of a beam on a CT; volumes are tallied on `box`, by default the corridor of the field."""
    from protonqa.montecarlo.medium import medium_from_hu
    from protonqa.montecarlo.simulation import simulate
    from protonqa.montecarlo.source import field_source
    from protonqa.physics.beam_models import generic_beam_model
    from protonqa.physics.emission import cross_section_set

    frame = beam_frame(plan.patient_position, beam.gantry_deg, beam.couch_deg, beam.isocenter_mm)
    medium = medium_from_hu(ct, hlut=hlut)
    spots_mm = np.concatenate([layer.spot_xy_mm for layer in beam.layers])
    box = box or corridor(ct.grid, frame, spots_mm)

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(done, total, "simulating protons")

    result = simulate(
        medium=medium,
        source=field_source(ct.grid, beam, frame, model or generic_beam_model()),
        protons=protons,
        seed=seed,
        cross_sections=None if cross_sections == "recommended" else cross_section_set(cross_sections),
        box=box,
        progress=tell,
    )
    start = np.rint(ct.grid.index_from_world(box.origin_mm)).astype(int)
    nz, ny, nx = box.shape
    hu = medium.hu[start[2] : start[2] + nz, start[1] : start[1] + ny, start[0] : start[0] + nx]
    return FieldSimulation(result=result, hu=np.ascontiguousarray(hu), rsp=medium.rsp, beam=beam, frame=frame)


def pet_grid(grid: Grid, spacing_mm: tuple[float, float, float] = PET_SPACING_MM) -> Grid:
    """A PET grid over the same space as a CT grid, with its own voxels."""
    shape = tuple(max(int(np.floor(s / d)), 1) for s, d in zip(grid.size_mm, spacing_mm, strict=True))
    half = (np.asarray(spacing_mm) - np.asarray(grid.spacing_mm)) / 2.0 / np.asarray(grid.spacing_mm)
    return Grid(
        shape=(shape[2], shape[1], shape[0]),
        spacing_mm=spacing_mm,
        origin_mm=tuple(grid.world_from_index(half)),
        direction=grid.direction,
    )


def pet_of_field(
    simulation: FieldSimulation,
    grid: Grid,
    timeline: Timeline,
    *,
    washout: str,
    psf_mm: float,
    counts: float | None = None,
    background_fraction: float = 0.10,
    seed: int = 0,
) -> Volume:
    """Activity concentration (Bq/ml, mean over the frame) on a PET grid, with counting noise where `counts` is given.

    Decay and washout act voxel by voxel, then positron range and scanner blur, then the PET voxels, then the noise.
    """
    import torch

    from protonqa.activity.chain import apply_chain
    from protonqa.activity.noise import add_counting_noise, noise_keys
    from protonqa.activity.scenario import activity_scenario

    box = simulation.result.grid
    sx, sy, sz = box.spacing_mm
    scenario = activity_scenario(
        timeline, washout=washout, positrons=True, positron_range=True, psf_fwhm_mm=psf_mm, edge="open"
    )
    nuclei = torch.tensor(simulation.result.nuclei) * simulation.result.field_protons
    seen = apply_chain(nuclei, scenario, spacing_mm=(sz, sy, sx), hu=torch.tensor(simulation.hu)).activity.numpy()
    seconds = timeline.acquisition_s if timeline.acquisition_s > 0 else 1.0
    concentration = (seen / (seconds * box.voxel_ml)).astype(np.float32)
    pet = resample(Volume(grid=box, array=concentration, unit="Bq/ml"), grid)
    if counts is None:
        return pet
    flat = torch.tensor(np.maximum(pet.array, 0.0), dtype=torch.float64).reshape(1, -1)
    noisy = add_counting_noise(
        flat,
        torch.tensor([counts], dtype=torch.float64),
        torch.tensor(noise_keys([seed], 1)),
        background_fraction=background_fraction,
    )
    return pet.with_array(noisy.reshape(grid.shape).numpy().astype(np.float32))
