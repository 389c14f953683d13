"""Parameters of the Monte Carlo analysis: the one definition behind options, form, batch file and report."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from protonqa.analyses.interface import AnalysisParams


class MonteCarloParams(AnalysisParams):
    """What is simulated: the plan of a case, a pencil beam into its CT, or a pencil beam into a phantom."""

    protons: int = Field(100_000, ge=1, le=2_000_000_000, title="Simulated protons")
    phantom: str = Field(
        "water", title="Phantom", description="Name, YAML file or twin:SEED; used where there is no case."
    )
    beam: int | None = Field(None, ge=0, title="Beam number", description="Needed where a plan has several beams.")
    energy_mev: float = Field(150.0, ge=1, le=300, title="Energy", json_schema_extra={"unit": "MeV"})
    spot_sigma_mm: float = Field(3.0, ge=0, le=200, title="Spot size (1 SD)", json_schema_extra={"unit": "mm"})
    energy_spread_percent: float = Field(
        0.0, ge=0, le=20, title="Energy spread (1 SD)", json_schema_extra={"unit": "%"}
    )
    isocenter_mm: tuple[float, float, float] | None = Field(
        None,
        title="Isocentre of a pencil beam",
        description="LPS; the centre of the body where none is given.",
        json_schema_extra={"unit": "mm"},
    )
    gantry_deg: float = Field(0.0, ge=-360, le=360, title="Gantry angle", json_schema_extra={"unit": "deg"})
    couch_deg: float = Field(0.0, ge=-360, le=360, title="Couch angle", json_schema_extra={"unit": "deg"})
    cross_sections: Literal["recommended", "gate"] = Field("recommended", title="Emitter cross sections")
    volumes: bool = Field(True, title="Write volumes of dose and nuclides")
