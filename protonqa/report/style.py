"""Colours and sizes that PDF and HTML share; white text on every state colour has a contrast above 4.5 to 1."""

from __future__ import annotations

from protonqa.values import Severity, State

INK = "#1F2328"
MUTED = "#5A626B"
RULE = "#B8BEC5"
SHADE = "#EEF1F4"

#: Bluish green, vermilion, dark ochre and grey: apart in hue and lightness, and each comes with its word and sign.
STATE_COLOUR = {
    State.PASS: "#00664B",
    State.FAIL: "#A63A00",
    State.NOT_EVALUABLE: "#6B5200",
    State.ERROR: "#3A3F45",
}
STATE_SIGN = {State.PASS: "✓", State.FAIL: "✗", State.NOT_EVALUABLE: "?", State.ERROR: "!"}
SEVERITY_COLOUR = {Severity.CRITICAL: "#A63A00", Severity.WARNING: "#6B5200", Severity.INFO: "#38536B"}

#: Share of the width that a map gets beside a table.
PAIR_SHARE = 0.445
#: Width and height of a figure by its place; PDF fills the width it has.
FIGURE_MM = {"map": (78.0, 68.0), "curve": (176.0, 43.0), "tall": (176.0, 68.0), "wide": (176.0, 88.0)}
