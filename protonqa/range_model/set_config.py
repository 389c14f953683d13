"""What a training set is made of: sites, beams, errors and statistics. With its seed it fixes the set to the bit."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from protonqa.range_model.config import Settings

Span = tuple[float, float]
Count = tuple[int, int]
#: Patients of a set: the anatomies of which twins can be drawn, and boxes of tissue slabs.
SLAB = "slab"
SITES: tuple[str, ...] = ("abdomen", "head", "pelvis", SLAB)


class SiteConfig(Settings):
    """Patients of one site.

    ``fields`` and ``pencils`` are the least and the most beams of each kind that a patient gets. A site that is
    ``held_out`` is neither trained nor calibrated on: it stands in tests alone, in rows of its own.
    """

    patients: int = Field(ge=0, le=100_000)
    fields: Count = (1, 1)
    pencils: Count = (4, 6)
    held_out: bool = False

    @model_validator(mode="after")
    def _check(self) -> SiteConfig:
        for name in ("fields", "pencils"):
            low, high = getattr(self, name)
            if not 0 <= low <= high <= 50:
                raise ValueError(f"{name} is not a span of 0 to 50 beams")
        return self


def _default_sites() -> dict[str, SiteConfig]:
    return {
        "abdomen": SiteConfig(patients=50),
        "head": SiteConfig(patients=35),
        "pelvis": SiteConfig(patients=35),
        SLAB: SiteConfig(patients=80, fields=(0, 0), pencils=(5, 5)),
    }


class TrainingSetConfig(Settings):
    """What is simulated. Spans are (low, high)."""

    seed: int = 1
    #: Left out or with 0 patients: the set has nothing of that site.
    sites: dict[str, SiteConfig] = Field(default_factory=_default_sites)
    #: Share of the patients of each site for calibration and for tests; the rest is trained on.
    calibrate_share: float = Field(0.2, gt=0.0, lt=1.0)
    test_share: float = Field(0.15, gt=0.0, lt=1.0)
    #: Half the side of a square field.
    field_half_mm: Span = (15.0, 20.0)
    rays_per_field: int = Field(56, ge=1)
    #: Histories in the column of a ray, and of a pencil beam.
    protons_per_ray: int = Field(8_000, ge=100)
    protons_per_pencil: int = Field(60_000, ge=500)
    #: More histories for patients of the test, so that the noise of the truth hardly counts in their errors.
    test_factor: float = Field(4.0, ge=1.0, le=20.0)
    #: Share of the patients of the test whose beams are also simulated on the planning CT: expected profiles.
    planned_share: float = Field(1.0, ge=0.0, le=1.0)
    sobp_share: float = Field(0.5, ge=0.0, le=1.0)
    #: Share of beams of twins that are aimed at a target as a clinic would; the others come from and go anywhere.
    clinical_share: float = Field(0.7, ge=0.0, le=1.0)
    #: Share of patients who are treated on another day than the planning CT shows.
    other_day_share: float = Field(0.6, ge=0.0, le=1.0)
    #: Largest relative error of the planning CT's stopping power, of soft tissue and of bone each.
    rsp_error: float = Field(0.035, ge=0.0, le=0.2)
    #: Largest shift of the CT number that decides the elemental composition of soft tissue (density and RSP stay).
    composition_hu: float = Field(30.0, ge=0.0, le=200.0)
    #: Rays whose R80 is known no better than this are left out.
    worst_noise_mm: float = Field(0.5, gt=0.0)

    @model_validator(mode="after")
    def _check(self) -> TrainingSetConfig:
        unknown = sorted(set(self.sites) - set(SITES))
        if unknown:
            raise ValueError(f"unknown sites {unknown}, known are {SITES}")
        if self.calibrate_share + self.test_share >= 1.0:
            raise ValueError("calibration and test leave nothing to train on")
        low, high = self.field_half_mm
        if not 8.0 <= low <= high <= 60.0:
            raise ValueError("field_half_mm is not a span of 8 to 60 mm")
        if not any(site.patients for site in self.sites.values()):
            raise ValueError("a training set needs patients")
        return self


#: train, calibrate and test are of sites that are trained on; held: sites held out.
Part = Literal["train", "calibrate", "test", "held"]
