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
    divergence_mrad: float = Field(0.0, ge=0, le=100, title="Divergence (1 SD)", json_schema_extra={"unit": "mrad"})
    range_shifter_mm: float = Field(
        0.0,
        ge=0,
        le=500,
        title="Range shifter of a pencil beam",
        description="Water-equivalent thickness of a PMMA slab; 0 is none. A plan brings its own.",
        json_schema_extra={"unit": "mm"},
    )
    range_shifter_gap_mm: float = Field(
        50.0, ge=0, le=3000, title="Air behind the range shifter", json_schema_extra={"unit": "mm"}
    )
    cross_sections: str = Field(
        "recommended", title="Emitter cross sections", description="recommended, gate or a CSV file."
    )
    cross_section_spread: bool = Field(
        True,
        title="Compare sets of cross sections",
        description="Yields under the recommended and GATE's cross sections, from the same 2000 histories.",
    )
    uncertainty: bool = Field(False, title="State the statistical error of the dose in every voxel")
    until_percent: float | None = Field(
        None,
        ge=0.01,
        le=50,
        title="Stop at this error of the high dose",
        description="The number of protons is then the most that are simulated.",
        json_schema_extra={"unit": "%"},
    )
    beam_quality: bool = Field(False, title="LET and mean energy of the protons")
    dose_volumes: Literal["water", "both"] = Field(
        "water", title="Dose volumes", description="To water, or to water and to the medium."
    )
    volumes: bool = Field(True, title="Write volumes of dose and nuclides")
