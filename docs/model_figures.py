"""Write what the shipped weights reached, from their card, into range-model.md: `python docs/model_figures.py`."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("range-model.md")
BEGIN, END = "<!-- from the card: begin -->\n", "<!-- from the card: end -->\n"
#: The scenario nearest to a clinic; its kinds of rays get a table of their own.
CLINICAL = "realistic ray"
HEAD = (
    "n",
    "answered",
    "MAE",
    "SD",
    "P95",
    "line MAE",
    "line SD",
    "line P95",
    "coverage",
    "width",
)


def read_card() -> dict[str, Any]:
    """The card beside the packaged weights."""
    text = files("protonqa.range_model").joinpath("weights", "card.json").read_text(encoding="utf-8")
    card: dict[str, Any] = json.loads(text)
    return card


def figures(card: dict[str, Any]) -> str:
    """Two tables in Markdown: every scenario over all rays, and the clinical scenario by kind of ray."""
    training, domain = card["training"], card["domain"]
    rays, bodies = training["rays"], training["anatomies"]
    scenarios = list(dict.fromkeys(row["scenario"] for row in card["metrics"]))
    kinds = [row["subset"] for row in card["metrics"] if row["scenario"] == CLINICAL and row["method"] == "model"]
    made = (
        f"`{card['name']}`: trained on {rays['train']} rays of {bodies['train']} anatomies, calibrated on "
        f"{rays['calibrate']} of {bodies['calibrate']}, tested on {rays['test']} of {bodies['test']} that neither had "
        f"seen. R80 from {domain['r80_low_mm']:.0f} to {domain['r80_high_mm']:.0f} mm, protons of "
        f"{domain['energy_low_mev']:.0f} to {domain['energy_high_mev']:.0f} MeV."
    )
    lines = [
        made,
        "",
        "All test rays; lengths in mm, coverage and width are those of the 95 % interval:",
        "",
        *_table("scenario", [(name, _row(card, name, "all")) for name in scenarios]),
        "",
        f"Scenario *{CLINICAL}* by kind of ray:",
        "",
        *_table("rays", [(kind, _row(card, CLINICAL, kind)) for kind in kinds]),
        "",
        "Known failures:",
        "",
        *(f"- {text}" for text in card["known_failures"]),
        "",
    ]
    return "\n".join(lines)


def page_with(text: str, page: str) -> str:
    """The page with everything between its two marks replaced."""
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}"


def _row(card: dict[str, Any], scenario: str, subset: str) -> tuple[str, ...]:
    mine = {r["method"]: r for r in card["metrics"] if (r["scenario"], r["subset"]) == (scenario, subset)}
    model, line = mine["model"], mine["a50-line"]
    errors = [f"{row[key]:.2f}" for row in (model, line) for key in ("range_mae_mm", "range_sd_mm", "range_p95_mm")]
    answered, covered = f"{100 * model['answered']:.1f} %", f"{100 * model['coverage']:.1f} %"
    return str(model["n"]), answered, *errors, covered, f"{model['interval_width_mm']:.1f}"


def _table(first: str, rows: list[tuple[str, tuple[str, ...]]]) -> list[str]:
    lines = [f"| {' | '.join((first, *HEAD))} |", f"|---|{'---:|' * len(HEAD)}"]
    return [*lines, *(f"| {' | '.join((name, *cells))} |" for name, cells in rows)]


if __name__ == "__main__":
    PAGE.write_text(page_with(figures(read_card()), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
