"""Write what the shipped weights reached, from their card, into range-model.md: `python docs/model_figures.py`."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

PAGE = Path(__file__).with_name("range-model.md")
BEGIN, END = "<!-- from the card: begin -->\n", "<!-- from the card: end -->\n"
TRIALS = Path(__file__).parent / "records" / "range_model_trials.json"
#: The scenario nearest to a clinic; its kinds of rays get a table of their own.
CLINICAL = "realistic ray"
#: Scenarios that are compared between trainings.
COMPARED = ("raw", "washout 5 min", "125 mm + 5 min", CLINICAL)


class Target(NamedTuple):
    """What was aimed at before training: a figure of some rays in a scenario and its limit."""

    scenario: str
    subset: str
    key: str
    limit: float
    #: The limit is this much above what the raw scenario reached.
    above_raw: bool = False


MAE, SD, MEDIAN, P95, MRE = "range_mae_mm", "range_sd_mm", "range_median_mm", "range_p95_mm", "dose_mre_percent"
WORDS = {MAE: "MAE, mm", SD: "SD, mm", MEDIAN: "median, mm", P95: "P95, mm", MRE: "dose MRE, %"}
FLAT, INSIDE = "flat mono", "in domain"
TARGETS = (
    *(Target("raw", FLAT, key, limit) for key, limit in ((MAE, 0.20), (SD, 0.27), (MRE, 1.0))),
    *(Target("raw", INSIDE, key, limit) for key, limit in ((MAE, 0.35), (MEDIAN, 0.15), (P95, 1.2), (MRE, 3.0))),
    Target("raw, cross sections +-20 %", FLAT, MAE, 0.35),
    Target("raw, cross sections +-20 %", INSIDE, MAE, 0.5),
    Target("SNR 4 multiplicative", INSIDE, MAE, 0.6),
    Target("SNR 4 additive", INSIDE, MAE, 0.6),
    Target("washout 5 min", FLAT, MAE, 0.30),
    Target("washout 5 min", INSIDE, MAE, 0.55),
    *(Target(name, kind, MAE, 0.05, True) for name in ("100 mm", "125 mm", "150 mm") for kind in (FLAT, INSIDE)),
    Target("125 mm + 5 min", FLAT, MAE, 0.40),
    Target("125 mm + 5 min", INSIDE, MAE, 0.60),
    Target(CLINICAL, FLAT, MAE, 0.6),
    Target(CLINICAL, INSIDE, MAE, 1.0),
    Target(CLINICAL, "field mean", MAE, 0.5),
    Target("no CT, raw", FLAT, MAE, 0.5),
    Target("no CT, raw", INSIDE, MAE, 1.0),
)
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
        "What was aimed at, and what was reached, on test anatomies (*in domain*: every ray that is not range-mixed):",
        "",
        *_targets(card),
        "",
        "All test rays in domain; lengths in mm, coverage and width are those of the 95 % interval:",
        "",
        *_table("scenario", [(name, _row(card, name, INSIDE)) for name in scenarios]),
        "",
        "All test rays, range-mixed ones included:",
        "",
        *_table("scenario", [(name, _row(card, name, "all")) for name in scenarios]),
        "",
        f"Scenario *{CLINICAL}* by kind of ray:",
        "",
        *_table("rays", [(kind, _row(card, CLINICAL, kind)) for kind in kinds]),
        "",
        *_trials(),
        "Known failures:",
        "",
        *(f"- {text}" for text in card["known_failures"]),
        "",
    ]
    return "\n".join(lines)


def _targets(card: dict[str, Any]) -> list[str]:
    found = {(r["scenario"], r["subset"]): r for r in card["metrics"] if r["method"] == "model"}
    lines = ["| scenario | rays | figure | aimed at | reached | |", "|---|---|---|---:|---:|---|"]
    for one in TARGETS:
        if (one.scenario, one.subset) not in found:
            continue
        limit = one.limit + (found["raw", one.subset][one.key] if one.above_raw else 0.0)
        value = found[one.scenario, one.subset][one.key]
        verdict = "met" if value <= limit else "**missed**"
        words = WORDS[one.key]
        lines.append(f"| {one.scenario} | {one.subset} | {words} | {limit:.2f} | {value:.2f} | {verdict} |")
    mixed = found.get(("raw", "range-mixed"))
    if mixed is not None and mixed.get("flagged") is not None:
        verdict = "met" if mixed["flagged"] >= 0.9 else "**missed**"
        share = 100.0 * mixed["flagged"]
        lines.append(f"| raw | range-mixed | flagged as such, % | ≥ 90 | {share:.0f} | {verdict} |")
    return lines


def _trials() -> list[str]:
    """One network of the recipe with other seeds, and without two sites in training and calibration."""
    if not TRIALS.exists():
        return []
    record = json.loads(TRIALS.read_text(encoding="utf-8"))
    lines: list[str] = []
    alone = [one["metrics"] for one in record.values() if not one["held_out_sites"]]
    if alone:
        lines += [
            f"One network alone, {len(alone)} trainings with other seeds: MAE in mm, mean (lowest to highest):",
            "",
            "| scenario | flat mono | in domain |",
            "|---|---:|---:|",
            *(f"| {name} | {_spread(alone, name, FLAT)} | {_spread(alone, name, INSIDE)} |" for name in COMPARED),
            "",
        ]
    for one in (one for one in record.values() if one["held_out_sites"]):
        rows = {"metrics": one["metrics"]}
        kinds = [f"{site}, held out: {kind}" for site in one["held_out_sites"] for kind in (FLAT, INSIDE)]
        there = {(r["scenario"], r["subset"]) for r in one["metrics"] if r["method"] == "model"}
        chosen = [(name, kind) for name in COMPARED for kind in kinds if (name, kind) in there]
        lines += [
            f"One network trained and calibrated without {' and '.join(one['held_out_sites'])}, and asked about them:",
            "",
            *_table("scenario and rays", [(f"{name}, {kind}", _row(rows, name, kind)) for name, kind in chosen]),
            "",
        ]
    return lines


def _spread(runs: list[list[dict[str, Any]]], scenario: str, subset: str) -> str:
    wanted = (scenario, subset, "model")
    values = [r[MAE] for rows in runs for r in rows if (r["scenario"], r["subset"], r["method"]) == wanted]
    return f"{fmean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def page_with(text: str, page: str) -> str:
    """The page with everything between its two marks replaced."""
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}"


def _row(card: dict[str, Any], scenario: str, subset: str) -> tuple[str, ...]:
    mine = {r["method"]: r for r in card["metrics"] if (r["scenario"], r["subset"]) == (scenario, subset)}
    model, line = mine["model"], mine["a50-line"]
    errors = [f"{row[key]:.2f}" for row in (model, line) for key in ("range_mae_mm", "range_sd_mm", "range_p95_mm")]
    width = model.get("interval_width_mm")
    return (
        str(model["n"]),
        _percent(model.get("answered")),
        *errors,
        _percent(model.get("coverage")),
        "" if width is None else f"{width:.1f}",
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _table(first: str, rows: list[tuple[str, tuple[str, ...]]]) -> list[str]:
    lines = [f"| {' | '.join((first, *HEAD))} |", f"|---|{'---:|' * len(HEAD)}"]
    return [*lines, *(f"| {' | '.join((name, *cells))} |" for name, cells in rows)]


if __name__ == "__main__":
    PAGE.write_text(page_with(figures(read_card()), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
