"""Parameters of range verification: the one definition behind options, form, batch file and report."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from protonqa.analyses.interface import AnalysisParams

Washout = Literal["none", "mizuno-brain", "mizuno-muscle", "parodi-hu", "toramatsu-o15"]


class VerifyParams(AnalysisParams):
    """What the physicist can set."""

    beam: int | None = Field(None, ge=0, title="Beam number", description="Needed where a plan has several beams.")
    tolerance_mm: float = Field(
        3.0, gt=0, le=50, title="Action level", json_schema_extra={"unit": "mm", "site": "range_tolerance_mm"}
    )
    delay_s: float | None = Field(None, ge=0, title="End of beam to start of frame", json_schema_extra={"unit": "s"})
    irradiation_s: float | None = Field(None, ge=0, title="Irradiation time", json_schema_extra={"unit": "s"})
    acquisition_s: float | None = Field(None, ge=0, title="Frame duration", json_schema_extra={"unit": "s"})
    psf_mm: float | None = Field(
        None,
        ge=0,
        le=30,
        title="PET resolution (FWHM)",
        json_schema_extra={"unit": "mm", "site": "pet_psf_mm"},
        description="From the site file, else 5 mm.",
    )
    washout: Washout = Field("parodi-hu", title="Washout model of the expected activity")
    cross_sections: Literal["recommended", "gate"] = Field("recommended", title="Emitter cross sections")
    protons: int = Field(300_000, ge=1000, le=2_000_000_000, title="Simulated protons")
    ray_pitch_mm: float = Field(4.0, ge=1, le=20, title="Distance of rays", json_schema_extra={"unit": "mm"})
    ray_width_mm: float = Field(8.0, ge=0, le=20, title="Cross section of a ray", json_schema_extra={"unit": "mm"})
    method: Literal["auto", "model", "a50"] = Field("auto", title="Range estimator")
    systematic_draws: int = Field(8, ge=2, le=200, title="Draws for the systematic uncertainty")
