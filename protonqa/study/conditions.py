"""The conditions of a study: what happens to the activity and what a method is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from protonqa.activity.washout import NO_WASHOUT, washout_names
from protonqa.range_model.config import Settings
from protonqa.range_model.scenarios import NAMED_SCENARIOS, ScenarioConfig

Level = str | bool | float | tuple[float, float] | None
Span = float | tuple[float, float]
#: Washout from any model that washes out.
DRAWN = "drawn"
#: The cross sections the rays were simulated with.
STORED = "stored"
#: The distal end of a window lies this far behind the planned R80, drawn.
WINDOW_END_MM = (10.0, 30.0)


class Condition(Settings):
    """One condition. Spans (low, high) are drawn for each ray, single numbers are fixed.

    Parameters
    ----------
    activity : {"raw", "moment", "frame"}
        Nuclei made; activity at ``delay_s`` after an instantaneous irradiation; decays in a frame.
    washout : str
        A model, ``none``, or ``drawn`` from all that wash out. Fractions and half-lives are drawn within
        ``washout_spread_percent``, and no method is told.
    psf_mm : float or span
        Scanner blur with positron range; 0 is neither.
    noise : str
        ``none``, ``snr-multiplicative``, ``snr-additive`` (both with ``snr``) or ``poisson`` (with ``counts``).
    window_mm : float or None
        Length of the depth window; None is the whole profile. ``window_anchor`` distal or proximal.
    cross_sections : str
        ``stored``, or another set that the rays carry.
    other_table_percent : float
        Share of the rays made with another table of cross sections, where the set holds one.
    cross_section_error_percent, hu_error_percent, hu_bias_percent : float
        Half-width of the error of each reaction channel and of the planning RSP, drawn; fixed error of that RSP.
    ct, timeline, psf_told : bool
        What the methods are told.
    """

    activity: Literal["raw", "moment", "frame"] = "raw"
    washout: str = NO_WASHOUT
    washout_spread_percent: float = Field(50.0, ge=0.0, lt=100.0)
    irradiation_s: Span = 0.0
    delay_s: Span = 0.0
    acquisition_s: Span = 0.0
    psf_mm: Span = 0.0
    noise: Literal["none", "snr-multiplicative", "snr-additive", "poisson"] = "none"
    snr: float = Field(4.0, gt=0.0)
    counts: float = Field(9000.0, gt=0.0)
    background_fraction: float = Field(0.10, ge=0.0, le=10.0)
    window_mm: float | None = Field(None, gt=0.0)
    window_anchor: Literal["distal", "proximal"] = "distal"
    cross_sections: str = STORED
    other_table_percent: float = Field(0.0, ge=0.0, le=100.0)
    cross_section_error_percent: float = Field(0.0, ge=0.0, lt=100.0)
    hu_error_percent: float = Field(0.0, ge=0.0, le=50.0)
    hu_bias_percent: float = Field(0.0, ge=-50.0, le=50.0)
    ct: bool = True
    timeline: bool = True
    psf_told: bool = True

    @field_validator("washout")
    @classmethod
    def _washout_exists(cls, name: str) -> str:
        known = (DRAWN, *washout_names())
        if name not in known:
            raise ValueError(f"one of {', '.join(known)}")
        return name

    @model_validator(mode="after")
    def _check(self) -> Condition:
        for name in ("irradiation_s", "delay_s", "acquisition_s", "psf_mm"):
            low, high = _span(getattr(self, name))
            if not 0 <= low <= high < float("inf"):
                raise ValueError(f"{name} is a number of 0 or more, or [low, high]")
        if self.activity == "frame" and not _span(self.acquisition_s)[0] > 0:
            raise ValueError("a frame needs an acquisition_s above 0")
        return self

    @classmethod
    def clinical(cls) -> Condition:
        """One ray of a realistic field, everything drawn that a clinic does not know."""
        return cls(
            activity="frame",
            washout=DRAWN,
            irradiation_s=90.0,
            delay_s=180.0,
            acquisition_s=900.0,
            psf_mm=5.0,
            noise="poisson",
            counts=9000.0,
            other_table_percent=50.0,
            cross_section_error_percent=20.0,
            hu_error_percent=3.5,
        )

    def changed(self, levels: Mapping[str, Any]) -> Condition:
        """The condition with other levels; raises pydantic's ValidationError where they don't fit."""
        return Condition.model_validate({**self.model_dump(), **levels})

    def scenario(self) -> ScenarioConfig:
        """What the range model's own scenario machinery makes of it; a proximal window and a bias come on top."""
        distal = self.window_mm is not None and self.window_anchor == "distal"
        low_psf, high_psf = _span(self.psf_mm)
        models = [name for name in washout_names() if name != NO_WASHOUT] if self.washout == DRAWN else [self.washout]
        fields: dict[str, Any] = {
            "raw_share": float(self.activity == "raw"),
            "instant_share": float(self.activity == "moment"),
            "washout": dict.fromkeys(models, 1.0),
            "washout_spread": self.washout_spread_percent / 100.0,
            "irradiation_s": _span(self.irradiation_s),
            "delay_s": _span(self.delay_s),
            "acquisition_s": _span(self.acquisition_s),
            "psf_share": float(high_psf > 0),
            "psf_fwhm_mm": (low_psf, high_psf),
            "noise": {self.noise: 1.0},
            "snr": (self.snr, self.snr),
            "counts": (self.counts, self.counts),
            "background_fraction": self.background_fraction,
            "window_share": float(distal),
            "window_end_mm": WINDOW_END_MM,
            "no_ct_share": float(not self.ct),
            "no_timeline_share": float(not self.timeline),
            "no_psf_share": float(not self.psf_told),
            "other_table_share": self.other_table_percent / 100.0,
            "rsp_error_percent": self.hu_error_percent,
            "production_error_percent": self.cross_section_error_percent,
        }
        if self.window_mm is not None:
            fields["window_length_mm"] = (self.window_mm, self.window_mm)
        # Whatever else the range model draws stays as in its clean scenario.
        return ScenarioConfig.model_validate({**NAMED_SCENARIOS["raw"].model_dump(), **fields})


#: What a grid may go over.
AXES: tuple[str, ...] = tuple(Condition.model_fields)


def _span(value: Span) -> tuple[float, float]:
    return value if isinstance(value, tuple) else (value, value)
