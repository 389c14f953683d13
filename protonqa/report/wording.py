"""Numbers and verdicts as a physicist reads them."""

from __future__ import annotations

from protonqa.report.text import NBSP, clean
from protonqa.values import AnalysisResult, Measurement, State

MINUS = "\u2212"

MEANING = {
    State.PASS: "The evidence is sufficient and the range agrees with the plan.",
    State.FAIL: "The range differs from the plan by more than the action level allows.",
    State.NOT_EVALUABLE: "The evidence is not sufficient for a verdict. This is neither a pass nor a fail.",
    State.ERROR: "The analysis did not finish. There is no verdict.",
}

#: Decimals by unit; other units get four significant digits.
_DECIMALS = {"mm": 2, "%": 1, "s": 1, "deg": 1}


def number(value: object, unit: str = "", *, signed: bool = False, decimals: int | None = None) -> str:
    """A value for print: a real minus sign, decimals by unit, a dash for no value.

    Parameters
    ----------
    value : number, bool, text or None
    unit : str
        Chooses the decimals; it is not appended.
    signed : bool
        Writes a plus sign too.
    decimals : int or None
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, (int, float)):
        return str(value)
    places = decimals if decimals is not None else _DECIMALS.get(unit)
    if isinstance(value, int) or (places is None and value == int(value) and abs(value) < 1e9):
        text = f"{int(value)}"
    elif places is None:
        text = f"{value:.4g}"
    else:
        text = f"{value:.{places}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    if signed and not text.startswith("-") and float(text) > 0:
        text = f"+{text}"
    return text.replace("-", MINUS)


def is_signed(measurement: Measurement) -> bool:
    """Shifts and biases carry a sign that means a direction."""
    return any(word in measurement.name for word in ("shift", "bias")) and "sd" not in measurement.name.split("_")


def interval(measurement: Measurement, *, decimals: int | None = None) -> str:
    """``low to high`` without unit, or a dash."""
    if measurement.low is None or measurement.high is None:
        return "–"
    signed = is_signed(measurement)
    low, high = (
        number(value, measurement.unit, signed=signed, decimals=decimals)
        for value in (measurement.low, measurement.high)
    )
    return f"{low} to {high}"


def with_unit(measurement: Measurement, *, decimals: int | None = None) -> str:
    """Value and unit."""
    value = number(measurement.value, measurement.unit, signed=is_signed(measurement), decimals=decimals)
    # The unit one is not written.
    unit = "" if measurement.unit == "1" else measurement.unit
    return f"{value}{NBSP}{unit}".strip() if measurement.value is not None else value


def verdict_sentence(result: AnalysisResult) -> str:
    """The verdict in one or two sentences, with the number it rests on."""
    if result.state in (State.NOT_EVALUABLE, State.ERROR):
        return sentence(result.reason)
    shift = result.measurements.get("mean_shift")
    if shift is None or shift.value is None:
        return sentence(result.reason) or MEANING[result.state]
    text = f"Mean range shift {with_unit(shift, decimals=1)}"
    if shift.low is not None and shift.high is not None:
        level = f"{confidence_text(shift)}interval "
        low = number(shift.low, signed=True, decimals=1)
        high = number(shift.high, signed=True, decimals=1)
        text += f" ({level}{low} to {high}{NBSP}{shift.unit})"
    text += f"; {_direction(shift.value)}."
    if result.reason.lower().startswith("mean shift"):
        return text
    return f"{text} {sentence(result.reason)}".strip()


def sentence(text: str, *, limit: int = 400) -> str:
    """A reason or finding as a sentence: capital and full stop."""
    line = clean(text, limit=limit)
    line = line[:1].upper() + line[1:]
    return line if not line or line[-1] in ".?!…" else f"{line}."


def _direction(shift_mm: float) -> str:
    if abs(shift_mm) < 0.05:
        return "as deep as planned"
    return "deeper than planned" if shift_mm > 0 else "shallower than planned"


def confidence_text(measurement: Measurement) -> str:
    """``95 % `` with a space after it, or nothing."""
    return "" if measurement.confidence is None else f"{100 * measurement.confidence:g}{NBSP}% "
