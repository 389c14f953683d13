"""When the activity was made and when it was seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protonqa.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Irradiation, waiting and acquisition of one field (`DEFINITIONS`: delay = end of beam to start of frame).

    Parameters
    ----------
    irradiation_s : float
        Duration of the irradiation at constant rate; 0 is an instantaneous irradiation.
    delay_s : float
        End of beam to start of the frame.
    acquisition_s : float
        Length of the frame; above 0 the quantity is decays in the frame, at 0 it is activity (Bq).
    """

    irradiation_s: float
    delay_s: float
    acquisition_s: float

    def __post_init__(self) -> None:
        for name in ("irradiation_s", "delay_s", "acquisition_s"):
            value = getattr(self, name)
            if not np.isfinite(value) or value < 0:
                raise InputError(f"{name} is not a duration", got=f"{value} s", expected="0 s or more")
