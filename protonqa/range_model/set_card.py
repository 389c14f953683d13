"""The data card of a training set: what it is made of, how well its truth is known, where its tables come from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import protonqa
from protonqa.durable import write_text_atomic
from protonqa.range_model.config import canonical_hash
from protonqa.range_model.dataset import RayTable
from protonqa.range_model.shards import Manifest, read_training_set

CARD_JSON, CARD_TEXT = "data-card.json", "data-card.md"
#: What the truth is meant to keep.
R80_NOISE_MM, DOSE_NOISE_PERCENT = 0.05, 0.3
_ENERGIES_MEV = (0.0, 70.0, 100.0, 130.0, 160.0, 190.0, 300.0)
_PERCENTILES = (50, 90, 95, 99, 100)


def write_card(folder: Path, manifest: Manifest, cells: Iterable[Mapping[str, Any]], version: str) -> dict[str, Any]:
    """Write ``data-card.json`` and ``data-card.md`` beside the manifest; returns the card.

    Parameters
    ----------
    cells : iterable of mapping
        What `training_set.compute_cell` returned for each patient.
    version : str
        Program and physics that made the set.
    """
    card = card_of(read_training_set(folder), manifest, cells, version)
    text = json.dumps(card, indent=1, allow_nan=False) + "\n"
    write_text_atomic(folder / CARD_JSON, text, label="data card")
    write_text_atomic(folder / CARD_TEXT, card_text(card), label="data card")
    return card


def card_of(table: RayTable, manifest: Manifest, cells: Iterable[Mapping[str, Any]], version: str) -> dict[str, Any]:
    """The card as plain JSON."""
    rows = list(cells)
    lost: Counter[str] = Counter()
    for row in rows:
        lost.update(row["lost"])
    return {
        "name": "protonqa training set",
        "program": protonqa.__version__,
        "made_by": version,
        "set_hash": manifest.set_hash,
        "recipe": manifest.recipe,
        "recipe_hash": canonical_hash(manifest.recipe),
        "rays": len(table),
        "patients": _patients(table),
        "rays_by_site_and_kind": _counts([f"{s}, {k}" for s, k in zip(table.site, table.kind, strict=True)]),
        "rays_by_part": _counts(table.part),
        "rays_by_mark": {
            "flat": int(table.flat.sum()),
            "flat, mono-energetic": int((table.flat & ~table.sobp).sum()),
            "heterogeneous": int(table.heterogeneous.sum()),
            "range-mixed": int(table.range_mixed.sum()),
            "spread-out peak": int(table.sobp.sum()),
            "with expected profile": int(table.planned_known.sum()),
        },
        "rays_by_highest_energy_mev": _histogram(table.energy_high_mev),
        "lost": dict(sorted(lost.items())),
        "noise": {"all": _noise(table, np.ones(len(table), dtype=bool))}
        | {kind: _noise(table, table.kind == kind) for kind in sorted(set(table.kind.tolist()))}
        | {"test": _noise(table, table.part == "test")},
        "tables": [*(c.name for c in table.schema.channels)],
        "other_tables": {
            name: [one.channel for one in table.schema.alternatives if one.table == name]
            for name in table.schema.tables
        },
        "licence": LICENCE,
        "limits": LIMITS,
    }


LICENCE = (
    "Computed by protonqa (Apache-2.0) from stylised anatomies of its own: no patient's image or data is in it. The "
    "sources of the physics tables, cross sections among them, stand at the head of each packaged table."
)
LIMITS = (
    "Anatomies are stylised, voxels 2 mm; implants, contrast agent and image artefacts do not occur.",
    "Depth 0 is the first entry into the body outline of the planning CT, and nothing else is taken from that outline.",
    "The outline leaves out air open to the outside, as in the nose of a head; such air counts by its CT number.",
    "Washout of a laterally integrated profile uses the tissue on the axis of the pencil beam.",
    "Laterally integrated profiles hold what lies within 44 mm of the axis in x and y.",
)


def card_text(card: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    parts = [f"# {card['name']}", "", f"{card['rays']} rays, set hash `{card['set_hash']}`, made by {card['made_by']}."]
    for title, key in (
        ("Patients by site and part", "patients"),
        ("Rays by site and kind", "rays_by_site_and_kind"),
        ("Rays by part", "rays_by_part"),
        ("Rays by mark", "rays_by_mark"),
        ("Rays by highest energy (MeV)", "rays_by_highest_energy_mev"),
        ("Beams and rays left out", "lost"),
    ):
        parts += ["", f"## {title}", "", "| | |", "|---|---|"]
        parts += [f"| {name} | {count} |" for name, count in card[key].items()]
    parts += ["", "## Noise of the truth", "", _noise_table(card["noise"])]
    parts += ["", "## Recipe", "", f"Hash `{card['recipe_hash']}`.", "", "```json"]
    parts += [json.dumps(card["recipe"], indent=1), "```", "", "## Known limits", ""]
    parts += [f"- {line}" for line in card["limits"]]
    return "\n".join([*parts, "", "## Licence", "", card["licence"], ""])


def _noise_table(noise: Mapping[str, Any]) -> str:
    heads = [f"P{p}" if p not in (50, 100) else {50: "median", 100: "largest"}[p] for p in _PERCENTILES]
    lines = [
        "| rays | "
        + " | ".join(f"R80 {h} (mm)" for h in heads)
        + " | within 0.05 mm | dose a bin, median (%) | P95 (%) | "
        "within 0.3 % |",
        "|---" * (len(heads) + 5) + "|",
    ]
    for name, row in noise.items():
        if row["rays"]:
            numbers = " | ".join(f"{v:.3f}" for v in row["r80_mm"].values())
            lines.append(
                f"| {name} ({row['rays']}) | {numbers} | {row['r80_within']:.1%} | {row['dose_percent']['p50']:.2f} | "
                f"{row['dose_percent']['p95']:.2f} | {row['dose_within']:.1%} |"
            )
    return "\n".join(lines)


def _noise(table: RayTable, chosen: NDArray[np.bool_]) -> dict[str, Any]:
    known = chosen & np.isfinite(table.r80_noise_mm) & np.isfinite(table.dose_noise_percent)
    if not known.any():
        return {"rays": 0}
    r80, dose = table.r80_noise_mm[known], table.dose_noise_percent[known]
    return {
        "rays": int(known.sum()),
        "r80_mm": {f"p{p}": round(float(np.percentile(r80, p)), 4) for p in _PERCENTILES},
        "dose_percent": {f"p{p}": round(float(np.percentile(dose, p)), 3) for p in _PERCENTILES},
        "r80_within": round(float((r80 <= R80_NOISE_MM).mean()), 4),
        "dose_within": round(float((dose <= DOSE_NOISE_PERCENT).mean()), 4),
    }


def _patients(table: RayTable) -> dict[str, int]:
    named = {str(a): f"{s}, {p}" for a, s, p in zip(table.anatomy, table.site, table.part, strict=True)}
    return _counts(named.values())


def _counts(values: Iterable[Any]) -> dict[str, int]:
    return dict(sorted(Counter(str(v) for v in values).items()))


def _histogram(energy_mev: NDArray[np.float64]) -> dict[str, int]:
    counts, _ = np.histogram(energy_mev, bins=_ENERGIES_MEV)
    names = [f"{a:.0f} to {b:.0f}" for a, b in pairwise(_ENERGIES_MEV)]
    return {name: int(n) for name, n in zip(names, counts, strict=True)}
