"""Write an acceptance test of the Monte Carlo into the documents: `python docs/commissioning_figures.py FOLDER`.

FOLDER is what `protonqa commission montecarlo --out FOLDER` wrote. Its outcome is kept in `records/montecarlo.json`,
its figures in `images/`; the marked sections of physics.md and validation.md follow from the record.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
RECORD = HERE / "records" / "montecarlo.json"
BEGIN, END = "<!-- from the acceptance test: begin -->\n", "<!-- from the acceptance test: end -->\n"
PREFIX = "montecarlo-"


class Claim(NamedTuple):
    """What a group of checks shows: pattern of their names, words, and the limit where checks share none."""

    names: str
    text: str
    limit: str = ""


CLAIMS = (
    Claim(r"r80-water-\d+mev-(least|most)", "CSDA range less R80 in water, 70 to 230 MeV", "0.0 to 0.6 mm"),
    Claim("r80-water-smooth", "its largest distance from a parabola in energy"),
    Claim(r"independent-r80-\d+mev", "R80 less that of the independent code, water"),
    Claim(r"independent-falloff-\d+mev", "80-20 fall-off less that of the independent code"),
    Claim(r"independent-peak-\d+mev", "peak over entrance less that of the independent code, 100 to 200 MeV"),
    Claim(r"independent-deposited-\d+mev", "energy deposited less that of the independent code"),
    Claim(r"independent-gamma-\d+mev", "points of the depth dose within gamma 1 %/1 mm (global, 10 % cut)"),
    Claim(r"not-deposited-\d+mev", "energy not deposited in 160 mm wide water less that of independent codes"),
    Claim(r"energy-balance-\d+mev", "energy not accounted for"),
    Claim(r"lateral-sigma-\d+mev-\d+mm", "lateral spread by multiple scattering alone less Fermi-Eyges"),
    Claim(r"peak-sigma-\d+mev", "spread of the whole beam at its peak less 1.8 / 3.5 / 5.4 mm (100 / 150 / 200 MeV)"),
    Claim(r"yield-.*", "11C, 15O, 13N of primary protons less the slowing-down integral, water and PMMA, both sets"),
    Claim(r"ratio-o15-c11-.*", "15O over 11C in PMMA less 0.29 (recommended) or 0.35 (GATE)"),
    Claim(r"secondaries-.*", "nuclei of secondary protons over those of primaries"),
    Claim(r"voxels-r80-.*", "R80 with other voxels less that with 1 mm cubes"),
    Claim(r"voxels-sigma-.*", "lateral spread with other voxels less that with 1 mm cubes"),
    Claim("philox-known-answers", "wrong known answers of the random generator"),
    Claim("same-bits-.*", "tallies that differ between one, two and three threads"),
)  # fmt: skip
_SIGNS = {"<=": "≤ ", ">=": "≥ ", "==": "", "<": "< ", ">": "> ", "abs<=": "±"}

#: Tables of the record and the headings of their columns.
TABLES = {
    "depth-doses": (
        "Depth doses in water, 160 mm wide, 4 x 4 x 1 mm voxels",
        "MeV, CSDA (mm), R80 (mm), CSDA - R80, 80-20 (mm), peak ratio, deposited (%), escaped, neutral, bound, protons",
    ),
    "lateral-spread": (
        "Lateral spread (1 SD, mm) of a beam of no width in water: Gaussian fitted within two SD",
        "MeV, depth (mm), scattering alone, Fermi-Eyges, with nuclear events",
    ),
    "yields": (
        "Nuclei per 100 protons",
        "material, MeV, cross sections, nuclide, primary protons, slowing-down integral, all protons",
    ),
}


def read_record() -> dict[str, Any]:
    """The kept outcome."""
    record: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return record


def claims_table(record: dict[str, Any]) -> str:
    """Date and machine, one row per claim, and the figures: for physics.md."""
    checks = checks_of(record)
    rows = [row for claim in CLAIMS if (row := _claim_row(claim, checks))]
    missed = [check for check in checks if not check["passed"]]
    lines = [_made(record), "", *_table(("what", "limit", "measured", "checks"), rows), ""]
    if missed:
        lines += ["Missed:", "", *(f"- {_missed(check)}" for check in missed), ""]
    for name, title in figures_of(record):
        lines += [f"{title}:", "", f"![{title}](images/{PREFIX}{name}.png)", ""]
    return "\n".join(lines)


def values_tables(record: dict[str, Any]) -> str:
    """Every number by energy and material: for validation.md."""
    made = {table["name"]: table for table in outcome_of(record)["tables"]}
    lines = [_made(record), ""]
    for name, (title, head) in TABLES.items():
        rows = [[_number(cell) for cell in row] for row in made[name]["rows"]]
        lines += [f"{title}:", "", *_table(head.split(", "), rows), ""]
    return "\n".join(lines)


PAGES = {"physics.md": claims_table, "validation.md": values_tables}


def page_with(text: str, page: str) -> str:
    """The page with everything between its two marks replaced."""
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}"


def outcome_of(record: dict[str, Any]) -> dict[str, Any]:
    """What the Monte Carlo was found to do."""
    outcome: dict[str, Any] = record["analyses"]["montecarlo"]
    return outcome


def checks_of(record: dict[str, Any]) -> list[dict[str, Any]]:
    """All checks."""
    checks: list[dict[str, Any]] = outcome_of(record)["checks"]
    return checks


def figures_of(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and titles of the figures."""
    return [(name, title) for name, title in record["figures"]]


def _made(record: dict[str, Any]) -> str:
    versions, checks = record["versions"], checks_of(record)
    good = sum(check["passed"] for check in checks)
    where = " with ".join(dict.fromkeys((record["computer"], record["device"])))
    if "cuda" not in where.lower() and "gpu" not in where.lower():
        where += ", no GPU"
    made = (
        f"protonqa {versions['protonqa']}",
        record["started_utc"][:10],
        where.replace("(R)", ""),
        versions["system"],
    )
    return (
        f"{', '.join(made)}, Python {versions['python']}, seed {record['seed']}: {good} of {len(checks)} checks passed."
    )


def _claim_row(claim: Claim, checks: list[dict[str, Any]]) -> tuple[str, ...] | None:
    mine = [check for check in checks if re.fullmatch(claim.names, check["name"])]
    if not mine:
        return None
    values = [check["value"] for check in mine if check["value"] is not None]
    unit = mine[0]["unit"]
    limit = claim.limit or f"{_SIGNS[mine[0]['comparison']]}{_number(mine[0]['limit'])} {unit}".strip()
    low, high = _number(min(values)), _number(max(values))
    found = low if low == high else f"{low} to {high}"
    failed = sum(not check["passed"] for check in mine)
    count = f"{len(mine)}" if not failed else f"{len(mine)}, **{failed} missed**"
    return claim.text, limit, f"{found} {unit}".strip(), count


def _missed(check: dict[str, Any]) -> str:
    value = "no value" if check["value"] is None else f"{_number(check['value'])} {check['unit']}"
    limit = f"{_SIGNS[check['comparison']]}{_number(check['limit'])} {check['unit']}"
    return f"{check['title']}: {value}, limit {limit}."


def _number(cell: Any) -> str:
    if cell is None:
        return "–"
    if not isinstance(cell, float):
        return str(cell)
    text = f"{round(float(f'{cell:.5g}'), 3):g}" if abs(cell) < 1e4 else f"{cell:.0f}"
    return "0" if text == "-0" else text.replace("-", "−")


def _table(head: tuple[str, ...] | list[str], rows: list[Any]) -> list[str]:
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]


def keep(folder: Path) -> None:
    """Take over the outcome and the figures of a finished acceptance test."""
    record = json.loads((folder / "commissioning.json").read_text(encoding="utf-8"))
    page = (folder / "montecarlo" / "commissioning.md").read_text(encoding="utf-8")
    if record["quick"]:
        raise SystemExit("this was a quick test; the documents hold figures of the full one")
    record["analyses"] = {"montecarlo": outcome_of(record)}
    record["figures"] = [(name, title) for title, name in re.findall(r"!\[([^\]]*)\]\(([^)]*)\.png\)", page)]
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, _ in record["figures"]:
        shutil.copyfile(folder / "montecarlo" / f"{name}.png", HERE / "images" / f"{PREFIX}{name}.png")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        keep(Path(sys.argv[1]))
    for name, text in PAGES.items():
        old = (HERE / name).read_text(encoding="utf-8")
        (HERE / name).write_text(page_with(text(read_record()), old), encoding="utf-8")
