"""Everything that decides a digital twin, as plain values: drawn once, stored as JSON, computed as often as needed."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from protonqa.phantom.anatomy import Abdomen, Pair, Triple
from protonqa.phantom.head_anatomy import Head
from protonqa.phantom.pelvis_anatomy import Pelvis

Anatomy = Abdomen | Head | Pelvis


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
    """A digital twin.

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
    anatomy : Abdomen, Head or Pelvis
        Its ``site`` tells which.
    """

    seed: int
    days: tuple[int, ...] = ()
    size_mm: Triple
    anatomy: Annotated[Anatomy, Field(discriminator="site")]
    waves: tuple[Wave, ...] = ()
    texture: Texture
    pose: Pose = Pose()
    couch: Couch | None = None
    ct_noise: CtNoise

    @property
    def site(self) -> str:
        """``abdomen``, ``head`` or ``pelvis``."""
        return self.anatomy.site


class DayChange(_Values):
    """How much a patient differs on another day; standard deviations, all cut at 2.5 of them.

    The defaults are of the size seen in abdominal patients set up on skin marks without daily images; those of the
    other sites are in `twin_sites`. Set one to 0 to switch that change off.

    Parameters
    ----------
    setup_mm, rotation_deg : float
        Shift along, and rotation about, each axis.
    fat_mm : float
        Thickness of subcutaneous fat: weight lost or gained.
    breathing_mm : float
        Motion of what lies under the diaphragm, towards the feet.
    organ_mm : float
        Motion of each organ by itself; in the head of jaw and tongue, in the pelvis of the prostate.
    bowel_mm : float
        Motion of loops of bowel.
    filling : float
        Logarithm of the diameter of stomach, bowel, bladder and rectum; in the head of the turbinates of the nose.
    gas_redrawn : float
        Chance that the gas of a part of the bowel, or the air and mucus of a sinus, is another.
    """

    setup_mm: float = 2.0
    rotation_deg: float = 1.0
    fat_mm: float = 1.5
    breathing_mm: float = 4.0
    organ_mm: float = 1.5
    bowel_mm: float = 6.0
    filling: float = 0.12
    gas_redrawn: float = 0.5


__all__ = ["Anatomy", "Couch", "CtNoise", "DayChange", "Pair", "Pose", "Texture", "TwinParameters", "Wave"]
