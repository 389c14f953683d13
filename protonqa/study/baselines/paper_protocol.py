"""The paper's protocol: a network that learned from raw activity and is asked about anything else.

Yu et al, arXiv 2212.11352 (2022) train a bidirectional recurrent network on activity without washout, of whole
profiles, and then perturb what it is shown. What this protocol means here is the training scenario below; the network
itself is trained elsewhere and comes in as a predictor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError
from protonqa.physics.curve_marks import NotEvaluable
from protonqa.study.baselines.interface import (
    KnownProfiles,
    Needs,
    Profiles,
    RangeEstimates,
    as_rays,
    estimates,
)
from protonqa.study.baselines.screening import free, unusable
from protonqa.study.baselines.wepl_axis import filled_rsp
from protonqa.values import ProfileSet

if TYPE_CHECKING:
    from protonqa.range_model.scenarios import ScenarioConfig

Floats = NDArray[np.float64]


class Prediction(Protocol):
    """What a predictor gives back: R80 of each ray and, where it refuses, why; `RangePrediction` is one."""

    @property
    def r80_mm(self) -> Floats:
        """(n_ray,) NaN where refused."""
        ...

    @property
    def reason(self) -> tuple[str, ...]:
        """(n_ray,) empty where answered."""
        ...


Predictor = Callable[[ProfileSet], Prediction]


def paper_training_scenario(*, with_ct: bool = False) -> ScenarioConfig:
    """What the network of the paper's protocol learns from.

    Nuclei made, without time, decay, washout, blur, noise or window, cross sections as they are; neither time line nor
    PSF is told. The abstract names no CT among the inputs: `with_ct` adds it, as the same group did in other work.
    """
    from protonqa.range_model.scenarios import ScenarioConfig

    return ScenarioConfig(
        raw_share=1.0,
        psf_share=0.0,
        noise={"none": 1.0},
        voxel_share=0.0,
        window_share=0.0,
        no_ct_share=0.0 if with_ct else 1.0,
        no_timeline_share=1.0,
        no_psf_share=1.0,
        rsp_error_percent=0.0,
        production_error_percent=0.0,
        gain_decades=0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperProtocol:
    """A predictor trained by `paper_training_scenario`, in the same tables as everything else.

    The predictor is handed usable rays only, without time line and PSF and, unless `with_ct`, without CT. Whatever it
    refuses stays refused with its own reason.
    """

    name: ClassVar[str] = "paper-protocol"
    title: ClassVar[str] = "Paper's protocol (trained without washout)"

    predictor: Predictor
    with_ct: bool = False

    @property
    def needs(self) -> Needs:
        """The CT where the network was trained with it; training lies with the predictor."""
        return Needs(rsp=self.with_ct)

    def range_mm(self, profiles: Profiles, expected: KnownProfiles | None = None) -> RangeEstimates:
        """R80 as the predictor says; `expected` serves the shift alone.

        Raises
        ------
        InputError
            The CT is wanted and there is none; a predictor that answers for another number of rays.
        """
        rays = as_rays(profiles)
        if self.with_ct and rays.rsp is None:
            raise InputError(
                "this network was trained with a CT, and the rays have none", expected="RSP along the rays"
            )
        missing = unusable(rays)
        value = np.full(rays.n_ray, np.nan)
        rows = free(missing)
        if rows.size:
            part = rays.select(rows)
            found = self.predictor(
                ProfileSet(
                    depth_mm=part.depth_mm,
                    activity=np.where(part.usable, part.activity, 0.0),
                    mask=part.usable,
                    rsp=filled_rsp(part) if self.with_ct else None,
                )
            )
            answer = np.asarray(found.r80_mm, dtype=np.float64)
            if answer.shape != rows.shape or len(found.reason) != rows.size:
                raise InputError(
                    "predictor does not answer for each ray", got=str(answer.shape), expected=f"{rows.size} rays"
                )
            value[rows] = answer
            for row, text in zip(rows, found.reason, strict=True):
                missing[row] = NotEvaluable(code="refused", reason=text) if text else None
        return estimates(value, missing, expected=expected)
