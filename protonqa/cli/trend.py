"""``protonqa trend``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from protonqa.app.trend_values import TrendParams
from protonqa.cli.common import DEFAULT, FLAT, Common
from protonqa.cli.task import task

if TYPE_CHECKING:
    from protonqa.app.trend_values import TrendGroup

_DEFAULTS = TrendParams()


def trend(
    *, params: Annotated[TrendParams, FLAT] = _DEFAULTS, out: Path | None = None, common: Common = DEFAULT
) -> int:
    """Control charts of a stored measurement. Exits 1 when a recent point is flagged, 3 when there are too few.

    Parameters
    ----------
    out
        Folder of trend.pdf, trend.html and trend.json.
    """
    from protonqa.app.results import EXIT_DONE, EXIT_FAIL, EXIT_NOT_EVALUABLE
    from protonqa.app.trend import trend as run
    from protonqa.values import State

    with task(common) as job:
        found = run(params, out=out)
    code = {State.FAIL: EXIT_FAIL, State.NOT_EVALUABLE: EXIT_NOT_EVALUABLE}.get(found.state, EXIT_DONE)
    lines = [line for group in found.groups for line in _lines(group)]
    lines += [] if out is None else [f"  files in {out}"]
    return job.finish(found.to_plain(), text="\n".join(lines), code=code)


def _lines(group: TrendGroup) -> list[str]:
    lines = [f"{group.title}, {group.name}: {group.state.value} ({group.reason})"]
    if group.charts is not None and group.expected is not None:
        limits, unit = group.charts.limits, group.unit
        spread = f"centre {limits.centre:.4g} {unit}, SD {limits.sd:.4g} {unit}"
        lines.append(f"  {limits.points} points in the baseline: {spread}, 3 SD {limits.low:.4g} to {limits.high:.4g}")
        share, verdicts = 100 * group.expected.per_point, 100 * group.expected.per_window
        lines.append(
            f"  in control, {share:.1f} % of points would be flagged and {verdicts:.0f} % of verdicts would fail"
        )
        for index, flags in enumerate(group.charts.flags):
            if flags and index >= limits.points:
                point = group.points[index]
                where = f"{point.performed_utc:%Y-%m-%d} result {point.number}"
                lines.append(f"  {where}: {point.value:.4g} {unit}: {', '.join(flags)}")
    return [*lines, *(f"  {one.severity.value}: {one.text}" for one in group.findings)]
