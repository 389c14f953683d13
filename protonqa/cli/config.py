"""``protonqa config`` and its subcommands."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from protonqa.cli.common import DEFAULT, Common
from protonqa.cli.task import task

app = App(name="config", help_format="plaintext", version_flags=[])


@app.command
def check(*, common: Common = DEFAULT) -> int:
    """Read the site file and every calibration that it names; the first error is told with its line."""
    from protonqa.app.config import check_config

    with task(common) as job:
        found = check_config()
    counts = [f"{found[one]} {one.replace('_', ' ')}" for one in ("ct_scanners", "pet_scanners", "machines", "pacs")]
    lines = [f"{found['path']} is sound: {', '.join(counts)}"]
    lines += [f"  line {one['line']}: {one['kind']} with {one['rows']} rows" for one in found["files"]]
    return job.finish(found, text="\n".join(lines))


@app.default
def config(*, common: Common = DEFAULT) -> int:
    """The site file: check, show, template."""
    return show(common=common)


@app.command
def show(*, common: Common = DEFAULT) -> int:
    """Which site file is in use, and what it says."""
    import json

    from protonqa.app.config import show_config

    with task(common) as job:
        found = show_config()
    text = f"{found['path']}\n{json.dumps(found['site'], indent=2, ensure_ascii=False)}"
    return job.finish(found, text=text)


@app.command
def template(*, out: Path | None = None, common: Common = DEFAULT) -> int:
    """A commented site file to begin with.

    Parameters
    ----------
    out
        A new file; by default it is printed.
    """
    from protonqa.app.config import write_template

    with task(common) as job:
        text = write_template(out)
    said = text if out is None else f"written to {out}; adapt it, then run protonqa config check --config {out}"
    return job.finish({"template": text, "out": None if out is None else str(out)}, text=said)
