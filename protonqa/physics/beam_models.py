"""The generic beam model, for when a clinic gives none."""

from __future__ import annotations

from functools import cache

import numpy as np

from protonqa.tables import table_header, table_rows
from protonqa.values import BeamModel, Finding, Severity

GENERIC_TABLE = "generic_beam_model.csv"


@cache
def generic_beam_model() -> BeamModel:
    """A scanning beam of 70 to 230 MeV that belongs to no machine; its assumptions stand in the packaged table."""
    rows = table_rows(GENERIC_TABLE)
    header = table_header(GENERIC_TABLE)
    sad_x, sad_y = (float(part) for part in header["virtual_sad_mm"].split(","))
    return BeamModel(
        **{column: np.array([float(row[column]) for row in rows]) for column in rows[0]},  # type: ignore[arg-type]
        virtual_sad_mm=(sad_x, sad_y),
        name=header["name"],
        generic=True,
    )


def beam_model_findings(model: BeamModel) -> tuple[Finding, ...]:
    """What a report must say about the beam model: one warning when it is the generic one."""
    if not model.generic:
        return ()
    text = (
        f"No beam model was given: the generic one ({model.nominal_mev[0]:g}-{model.nominal_mev[-1]:g} MeV) stands in. "
        "Energies, spot sizes and protons per MU are not those of your machine."
    )
    return (Finding(severity=Severity.WARNING, code="BEAM-MODEL-GENERIC", text=text),)
