"""Train the variants of the network at equal budget and write their table into range-model.md:
`python docs/compare_networks.py TRAINING-SET [SECONDS-EACH] [FOLDER]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from protonqa.range_model.comparison import compare, markdown
from protonqa.range_model.recipe import shipped_recipe
from protonqa.range_model.shards import read_training_set

PAGE = Path(__file__).with_name("range-model.md")
BEGIN, END = "<!-- networks compared: begin -->\n", "<!-- networks compared: end -->\n"
SECONDS = 150.0


def page_with(text: str, page: str) -> str:
    """The page with everything between its two marks replaced."""
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}\n{text}\n\n{END}{rest.split(END)[1]}"


def main(training_set: Path, budget_s: float, folder: Path) -> None:
    """Compare and write."""
    scores = compare(
        shipped_recipe().training,
        read_training_set(training_set),
        folder,
        budget_s=budget_s,
        progress=lambda done, total, name: sys.stderr.write(f"{done} of {total}: {name}\n"),
    )
    text = markdown(scores, budget_s=budget_s)
    sys.stdout.write(text + "\n")
    PAGE.write_text(page_with(text, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else SECONDS
    if len(sys.argv) > 3:
        main(Path(sys.argv[1]), seconds, Path(sys.argv[3]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(sys.argv[1]), seconds, Path(scratch))
