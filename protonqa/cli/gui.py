"""``protonqa gui``: starts the desktop program, which is an extra of its own."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from protonqa.cli.common import DEFAULT, Common
from protonqa.cli.task import task
from protonqa.errors import InputError

_NEEDED = ("PySide6", "pyqtgraph", "protonqa_gui")


def gui(
    case: Annotated[Path | None, Parameter(help="Folder or archive with CT, PET, plan and dose to open.")] = None,
    *,
    results: Annotated[
        Path | None, Parameter(help="Folder the window writes results into [default: protonqa-results at home].")
    ] = None,
    common: Common = DEFAULT,
) -> int:
    """Open the desktop program."""
    require_window()
    if case is not None and not case.exists():
        raise InputError("there is nothing at the path of the case", expected="a folder or archive", remedy="check it")
    folder = results or Path.home() / "protonqa-results"
    with task(common) as job:
        # By name: the command line itself must not import Qt.
        start = importlib.import_module("protonqa_gui.start")
        code = start.main(case, folder, device=common.device, seed=common.seed, site_file=common.config)
    return job.finish({"results": str(folder), "closed": True}, text=f"results are in {folder}", code=code)


def require_window() -> None:
    """Raise InputError, with what to install, where the desktop program is not there."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            "the desktop program is not installed",
            got=f"no {', '.join(missing)}",
            remedy='install it: pip install "protonqa[gui]"',
        )
