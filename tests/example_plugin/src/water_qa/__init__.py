"""CT numbers of a water phantom: accuracy, noise and uniformity, against the limits of a planning CT.

An analysis for protonqa. Only light imports stand at the top: looking at an analysis must stay cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from protonqa.analyses import AnalysisParams, Check, Commissioning, Input
from protonqa.errors import NotEvaluableError
from protonqa.values import (
    AnalysisResult,
    Finding,
    ImageFigure,
    LineFigure,
    Measurement,
    Series,
    Severity,
    State,
    Table,
    Volume,
)
from water_qa.regions import disc, largest_part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from protonqa.analyses import Context

#: Places of the regions in the axial plane, in units of the distance of the outer ones from the centre.
_PLACES = {"centre": (0.0, 0.0), "right": (-1.0, 0.0), "left": (1.0, 0.0), "front": (0.0, -1.0), "back": (0.0, 1.0)}
#: A voxel belongs to the phantom above this; air in and around it does not.
_BODY_HU = -300.0


class WaterParams(AnalysisParams):
    """Every parameter once: options, forms, batch files and the report are made of this."""

    accuracy_hu: float = Field(
        5.0, gt=0, le=100, title="Limit of the mean CT number of water", json_schema_extra={"unit": "HU"}
    )
    uniformity_hu: float = Field(
        5.0, gt=0, le=100, title="Limit of the difference of any region to the centre", json_schema_extra={"unit": "HU"}
    )
    region_mm: float = Field(20.0, ge=2, le=100, title="Diameter of a region", json_schema_extra={"unit": "mm"})
    distance_mm: float = Field(
        60.0, ge=5, le=250, title="Distance of the outer regions from the centre", json_schema_extra={"unit": "mm"}
    )


class WaterHu:
    """Satisfies ``protonqa.analyses.Analysis``; nothing is inherited."""

    name = "water-hu"
    title = "CT numbers of water"
    version = "1.0"
    inputs = (Input("ct", Volume, title="CT of a water phantom"),)
    Params = WaterParams
    #: Longest run; a worker that needs more is ended, and the result is an ERROR that says so.
    deadline_s = 120.0

    def run(self, context: Context[WaterParams]) -> AnalysisResult:
        """Measure the five regions of the middle slice and judge them."""
        import numpy as np

        ct, params = context.input("ct", Volume), context.params
        if ct.unit != "HU":
            raise NotEvaluableError("the volume is not in Hounsfield units", got=ct.unit, expected="HU")
        slice_hu = ct.array[ct.grid.shape[0] // 2].astype(np.float64)
        spacing = ct.grid.spacing_mm[:2]
        body = largest_part(slice_hu > _BODY_HU)
        centre = np.argwhere(body).mean(axis=0)[::-1] if body.any() else None
        regions = {}
        for done, (place, (x, y)) in enumerate(_PLACES.items()):
            context.progress(done, len(_PLACES), f"region {place}")  # a cancelled run stops here
            if centre is None:
                break
            middle_mm = tuple(centre * spacing + params.distance_mm * np.array([x, y]))
            inside = disc(slice_hu.shape, spacing, middle_mm, params.region_mm)
            if inside.sum() >= 12 and body[inside].all():
                regions[place] = slice_hu[inside]
        if len(regions) < len(_PLACES):
            raise NotEvaluableError(
                "the regions do not lie inside a phantom",
                got=f"{len(regions)} of {len(_PLACES)}",
                remedy="choose a smaller distance, or the CT of a phantom",
            )
        return self._judged(params, slice_hu, spacing, regions)

    def commission(self, context: Context[WaterParams]) -> Commissioning:
        """A phantom with known numbers: what was put in must come out."""
        import dataclasses

        checks, planted_hu = [], 7.0
        for offset in (0.0, planted_hu):
            phantom = _phantom(context.rng(f"offset {offset}"), offset_hu=offset, noise_hu=4.0)
            found = self.run(dataclasses.replace(context, inputs={"ct": phantom}))
            error = found.measurements["water"].value - offset
            checks.append(Check(name=f"offset-{offset:g}-hu", value=error, unit="HU", limit=0.5, comparison="abs<="))
        noise = found.measurements["noise"].value
        checks.append(
            Check(name="noise", title="Noise less 4 HU", value=noise - 4.0, unit="HU", limit=0.5, comparison="abs<=")
        )
        cupped = _phantom(context.rng("cupping"), offset_hu=0.0, noise_hu=0.0, cupping_hu=10.0)
        found = self.run(dataclasses.replace(context, inputs={"ct": cupped}))
        # A parabola of 10 HU at the rim of 100 mm: at 60 mm it is 3.6 HU, less what it is at the centre.
        error = found.measurements["non_uniformity"].value - 10.0 * (60.0 / 100.0) ** 2
        checks.append(Check(name="cupping", value=error, unit="HU", limit=0.2, comparison="abs<="))
        passed = 1.0 if found.state is State.PASS else 0.0
        checks.append(Check(name="cupping-within-limit-passes", value=passed, unit="", limit=1.0, comparison="=="))
        return Commissioning(checks=tuple(checks))

    def _judged(
        self,
        params: WaterParams,
        slice_hu: NDArray[np.float64],
        spacing: tuple[float, float],
        regions: dict[str, NDArray[np.float64]],
    ) -> AnalysisResult:
        import numpy as np

        means = {place: float(values.mean()) for place, values in regions.items()}
        middle = regions["centre"]
        # Pixels of a CT are correlated; an eighth of them counts as independent.
        half_width = 1.96 * float(middle.std(ddof=1)) / np.sqrt(max(middle.size / 8.0, 1.0))
        water, noise = means["centre"], float(middle.std(ddof=1))
        uneven = max(abs(means[place] - water) for place in means)
        passed = abs(water) <= params.accuracy_hu and uneven <= params.uniformity_hu
        findings = ()
        if noise > 20.0:
            text = f"The noise is {noise:.0f} HU: the means say little."
            findings = (Finding(severity=Severity.WARNING, code="WATER-NOISE", text=text),)
        return AnalysisResult(
            analysis=self.name,
            version=self.version,
            title=self.title,
            state=State.PASS if passed else State.FAIL,
            measurements={
                one.name: one
                for one in (
                    Measurement(
                        name="water",
                        title="CT number of water",
                        value=water,
                        unit="HU",
                        low=water - half_width,
                        high=water + half_width,
                        confidence=0.95,
                    ),
                    Measurement(name="noise", title="Noise (1 SD)", value=noise, unit="HU"),
                    Measurement(
                        name="non_uniformity", title="Largest difference to the centre", value=uneven, unit="HU"
                    ),
                )
            },
            tables=(
                Table(
                    name="regions",
                    title="Regions",
                    columns=("region", "mean HU", "SD HU", "pixels"),
                    rows=tuple((p, means[p], float(v.std(ddof=1)), int(v.size)) for p, v in regions.items()),
                ),
            ),
            figures=(_map(slice_hu, spacing), _profile(slice_hu, spacing)),
            findings=findings,
        )


def _map(slice_hu: NDArray[np.float64], spacing: tuple[float, float]) -> ImageFigure:
    import numpy as np

    height, width = slice_hu.shape
    extent = (0.0, width * spacing[0], 0.0, height * spacing[1])
    return ImageFigure(
        name="slice",
        title="Middle slice",
        x_label="x (mm)",
        y_label="y (mm)",
        image=np.clip(slice_hu, -50.0, 50.0),
        extent_mm=extent,
        unit="HU",
        diverging=True,
        limit=50.0,
    )


def _profile(slice_hu: NDArray[np.float64], spacing: tuple[float, float]) -> LineFigure:
    import numpy as np

    row = slice_hu[slice_hu.shape[0] // 2]
    along = (np.arange(row.size) + 0.5) * spacing[0]
    curve = Series(label="middle row", x=along, y=row)
    return LineFigure(name="profile", title="Middle row", x_label="x (mm)", y_label="HU", series=(curve,))


def _phantom(rng: np.random.Generator, *, offset_hu: float, noise_hu: float, cupping_hu: float = 0.0) -> Volume:
    """A cylinder of 200 mm in air, 2 mm pixels."""
    import numpy as np

    from protonqa.values import Grid

    grid = Grid(shape=(3, 128, 128), spacing_mm=(2.0, 2.0, 3.0), origin_mm=(-127.0, -127.0, 0.0))
    along = 2.0 * np.arange(128) - 127.0
    radius = np.hypot(along[None, :], along[:, None])
    inside = radius <= 100.0
    values = np.where(inside, offset_hu + cupping_hu * (radius / 100.0) ** 2, -1000.0)
    noise = noise_hu * rng.standard_normal((3, 128, 128)) * inside
    return Volume(grid=grid, array=(values + noise).astype(np.float32), unit="HU")
