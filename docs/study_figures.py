"""Write a sensitivity study into study.md: `python docs/study_figures.py FOLDER`.

FOLDER is what `protonqa study run` wrote. Its named rows and its chart are kept in `records/study.json`; without a
FOLDER the marked section of study.md is written again from that record.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE, RECORD = HERE / "study.md", HERE / "records" / "study.json"
BEGIN, END = "<!-- from the study: begin -->\n", "<!-- from the study: end -->\n"
HEADLINE = "all but range-mixed"
FLAT = "flat, mono-energetic"
MODEL = "model"
KEPT = ("range_mae_mm", "range_mae_mm_low", "range_mae_mm_high", "range_sd_mm", "answered", "n", "n_anatomies")


def read_folder(folder: Path) -> dict[str, Any]:
    """The record of a study."""
    facts = json.loads((folder / "result.json").read_text(encoding="utf-8"))["provenance"]
    rows = _table(folder / "rows.csv", HEADLINE) + _table(folder / "subsets.csv", FLAT)
    bars = list(csv.DictReader((folder / "tornado.csv").open(encoding="utf-8")))
    floors = list(csv.DictReader((folder / "floors.csv").open(encoding="utf-8")))
    return {
        "program": facts["versions"]["protonqa"],
        "started_utc": facts["started_utc"],
        "device": facts["device"]["label"],
        "rows": [row for row in rows if row["group"] == "named"],
        "floors": [row for row in floors if row["method"] == MODEL and ":" not in row["scenario"]],
        "tornado": [row for row in bars if row["method"] == MODEL],
    }


def _table(path: Path, subset: str) -> list[dict[str, Any]]:
    found = (row for row in csv.DictReader(path.open(encoding="utf-8")) if row["subset"] == subset)
    keys = ("scenario", "method", "subset", "group")
    return [
        {**{key: row[key] for key in keys}, **{key: float(row[key]) if row[key] else None for key in KEPT}}
        for row in found
    ]


def section(record: dict[str, Any]) -> str:
    """Everything between the marks."""
    rows = {(row["subset"], row["scenario"], row["method"]): row for row in record["rows"]}
    scenarios = list(dict.fromkeys(row["scenario"] for row in record["rows"]))
    methods = list(dict.fromkeys(row["method"] for row in record["rows"]))
    first = rows[HEADLINE, scenarios[0], MODEL]
    made = (
        f"protonqa {record['program']}, {record['started_utc'][:10]}, {record['device']}; rays of "
        f"{first['n_anatomies']:.0f} anatomies that the model never saw. MAE of the range in mm, of the rays that a "
        "method answers; in brackets the 95 % interval over anatomies."
    )
    lines = [made]
    for subset, title in ((HEADLINE, "All rays but range-mixed ones"), (FLAT, "Flat, mono-energetic rays")):
        lines += ["", f"{title}:", "", *_matrix(rows, subset, scenarios, methods)]
    if record["floors"]:
        lines += ["", "Standard deviation of the model beside the bound of the noise alone:", ""]
        lines += ["| scenario | SD, mm | bound, mm | ratio |", "|---|---:|---:|---:|"]
        lines += [
            f"| {row['scenario']} | {float(row['range_sd_mm']):.2f} | {float(row['floor_mm']):.2f} | "
            f"{float(row['sd_over_floor']):.1f} |"
            for row in record["floors"]
        ]
    if record["tornado"]:
        lines += ["", *_chart(record["tornado"])]
    return "\n".join(lines)


def _matrix(rows: dict[tuple[str, str, str], Any], subset: str, scenarios: list[str], methods: list[str]) -> list[str]:
    lines = [f"| scenario | {' | '.join(methods)} |", f"|---|{'---:|' * len(methods)}"]
    for scenario in scenarios:
        found = [rows.get((subset, scenario, method)) for method in methods]
        best = min((row["range_mae_mm"] for row in found if row and row["range_mae_mm"] is not None), default=None)
        lines.append(f"| {scenario} | {' | '.join(_cell(row, best) for row in found)} |")
    return lines


def _cell(row: dict[str, Any] | None, best: float | None) -> str:
    if row is None or row["range_mae_mm"] is None or not row["answered"]:
        return "–"
    value = f"{row['range_mae_mm']:.2f}"
    text = f"**{value}**" if row["range_mae_mm"] == best else value
    if row["method"] == MODEL and row["range_mae_mm_low"] is not None:
        text += f" ({row['range_mae_mm_low']:.2f}–{row['range_mae_mm_high']:.2f})"
    return text if row["answered"] >= 0.95 else f"{text}, answers {100 * row['answered']:.0f} %"


def _chart(bars: list[dict[str, Any]]) -> list[str]:
    lines = ["What matters most: MAE of the model when one axis leaves the base condition, widest first:", ""]
    lines += [
        "| axis | base | MAE, mm | best level | MAE, mm | worst level | MAE, mm |",
        "|---|---|---:|---|---:|---|---:|",
    ]
    for row in bars:
        levels = ((row[f"{one}_level"], float(row[f"{one}_value"])) for one in ("base", "low", "high"))
        lines.append(f"| {row['factor']} | {' | '.join(f'{level} | {value:.2f}' for level, value in levels)} |")
    return lines


def page_with(text: str, page: str) -> str:
    """The page with everything between its two marks replaced."""
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}\n{text}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        RECORD.write_text(json.dumps(read_folder(Path(sys.argv[1])), indent=1) + "\n", encoding="utf-8")
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    PAGE.write_text(page_with(section(record), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
