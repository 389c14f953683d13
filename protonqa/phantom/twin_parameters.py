"""Everything that decides a digital twin, as plain values: drawn once, stored as JSON, computed as often as needed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from protonqa.phantom.anatomy import Abdomen, Pair, Triple


class _Values(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Wave(_Values):
    """One plane wave of the body's irregularity: displacement ``amplitude_mm * sin(vector . position + phase)``."""

    vector_per_mm: Triple
    phase: float
    amplitude_mm: Triple


class Texture(_Values):
    """Smooth random CT number inside tissue: SD in soft tissue, and the length over which it stays alike."""

    amplitude_hu: float
    correlation_mm: float
    seed: int


class Pose(_Values):
    """Where the body lies: shift, and rotations about x (pitch), y (yaw) and z (roll) through its middle."""

    shift_mm: Triple = (0.0, 0.0, 0.0)
    rotation_deg: Triple = (0.0, 0.0, 0.0)


class Couch(_Values):
    """A flat table top below the patient: a dense shell around light foam, as wide as `width_mm`."""

    top_y_mm: float
    thickness_mm: float
    width_mm: float
    shell_mm: float
    shell_hu: float
    core_hu: float


class CtNoise(_Values):
    """White noise of the CT scanner (SD)."""

    amplitude_hu: float
    seed: int


class TwinParameters(_Values):
    """A digital twin of the abdomen.

    Same parameters, same spacing, same voxels, bit for bit on one kind of processor; ``model_dump_json`` and
    ``model_validate_json`` keep every number exactly.

    Parameters
    ----------
    seed : int
        What it was drawn from.
    days : tuple of int
        Seeds of the days since (`perturb_twin`); empty on the day of the planning CT.
    size_mm : (x, y, z)
        Of the grid; the same on all days, so planning CT and delivered anatomy share their voxels.
    """

    seed: int
    days: tuple[int, ...] = ()
    size_mm: Triple
    abdomen: Abdomen
    waves: tuple[Wave, ...] = ()
    texture: Texture
    pose: Pose = Pose()
    couch: Couch | None = None
    ct_noise: CtNoise


class DayChange(_Values):
    """How much a patient differs on another day; standard deviations, all cut at 2.5 of them.

    The values are of the size seen in abdominal patients set up on skin marks without daily images; set one to 0 to
    switch that change off.
    """

    setup_mm: float = 2.0
    rotation_deg: float = 1.0
    fat_mm: float = 1.5
    breathing_mm: float = 4.0
    organ_mm: float = 1.5
    bowel_mm: float = 6.0
    filling: float = 0.12
    gas_redrawn: float = 0.5


__all__ = ["Couch", "CtNoise", "DayChange", "Pair", "Pose", "Texture", "TwinParameters", "Wave"]
