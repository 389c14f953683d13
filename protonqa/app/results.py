"""Results as flat JSON objects with fixed keys, and as exit codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protonqa.analyses.result_json import finding_to_plain, to_plain
from protonqa.values import AnalysisResult, Finding, Measurement, State

EXIT_DONE, EXIT_FAIL, EXIT_USAGE, EXIT_NOT_EVALUABLE, EXIT_INTERNAL = 0, 1, 2, 3, 4

_EXIT_CODES = {State.PASS: EXIT_DONE, State.FAIL: EXIT_FAIL, State.NOT_EVALUABLE: EXIT_NOT_EVALUABLE}
#: JSON key and measurement of the flat object of ``verify``.
_VERIFY_KEYS = (
    ("mean_shift_mm", "mean_shift"),
    ("shift_sd_mm", "shift_sd"),
    ("method_bias_mm", "method_bias"),
    ("a50_shift_mm", "a50_shift"),
    ("rays_used", "rays_used"),
    ("fraction_beyond_tolerance", "fraction_beyond_tolerance"),
)


def exit_code(result: AnalysisResult) -> int:
    """0 PASS or done, 1 FAIL, 3 NOT EVALUABLE; a failure is 2 when the input caused it, else 4."""
    if result.state is State.ERROR:
        error = result.provenance.get("error")
        return EXIT_USAGE if isinstance(error, Mapping) and error.get("input") else EXIT_INTERNAL
    return _EXIT_CODES[result.state]


def verify_to_plain(result: AnalysisResult) -> dict[str, Any]:
    """The JSON object of ``verify``: the whole plan, and one object with the same keys per field.

    Made from the measurements ``mean_shift`` (its low and high are the interval), ``shift_sd``, ``method_bias``,
    ``a50_shift``, ``rays_used`` and ``fraction_beyond_tolerance``; what is absent is null. Findings of a field stand
    in the object of the whole too.
    """
    whole = _flat(result)
    whole["findings"] = [finding_to_plain(one) for one in all_findings(result)]
    whole["fields"] = [_flat(part) for part in result.parts] or [_flat(result)]
    return whole


def all_findings(result: AnalysisResult) -> tuple[Finding, ...]:
    """Findings of the result and of its parts, each once."""
    found = dict.fromkeys(result.findings)
    for part in result.parts:
        found |= dict.fromkeys(part.findings)
    return tuple(found)


def _flat(result: AnalysisResult) -> dict[str, Any]:
    shift = result.measurements.get("mean_shift")
    flat: dict[str, Any] = {"field": result.title, "state": result.state.value, "reason": result.reason}
    for key, name in _VERIFY_KEYS:
        flat[key] = _number(result.value(name), whole=name == "rays_used")
        if name == "shift_sd":
            flat["interval_mm"] = _interval(shift)
    flat["findings"] = [finding_to_plain(one) for one in result.findings]
    flat["timings_s"] = to_plain(result.timings_s, "timings_s")
    return flat


def _interval(shift: Measurement | None) -> list[float] | None:
    if shift is None or shift.low is None or shift.high is None:
        return None
    return [float(shift.low), float(shift.high)]


def _number(value: float | None, *, whole: bool) -> float | int | None:
    if value is None:
        return None
    return round(value) if whole else float(value)


def run_to_plain(result: AnalysisResult) -> dict[str, Any]:
    """The JSON object of ``run``: everything of a result but tables and figures, which lie in ``result.json``."""
    return {
        "analysis": result.analysis,
        "version": result.version,
        "state": result.state.value,
        "reason": result.reason,
        "measurements": {
            name: {"value": to_plain(one.value, name), "unit": one.unit, "low": one.low, "high": one.high}
            for name, one in sorted(result.measurements.items())
        },
        "findings": [finding_to_plain(one) for one in all_findings(result)],
        "artefacts": sorted(result.artefacts),
        "timings_s": to_plain(result.timings_s, "timings_s"),
        "parts": [run_to_plain(part) for part in result.parts],
    }
