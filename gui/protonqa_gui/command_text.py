"""A run of the window as other people can repeat it: a command line, a batch file. No Qt."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any


def command_line(
    name: str, inputs: Mapping[str, str], params: Mapping[str, Any], out: str, *, seed: int = 0, device: str = "auto"
) -> str:
    """``protonqa run NAME ...`` with the same inputs and parameters; what has its default value is left out."""
    words = ["protonqa", "run", name]
    for option, path in inputs.items():
        words += [f"--{option.replace('_', '-')}", path]
    for option, value in params.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            words += ["--param", f"{option}={json.dumps(value)}"]
        else:
            words += [f"--{option.replace('_', '-')}", str(value)]
    words += ["--out", out]
    if seed:
        words += ["--seed", str(seed)]
    if device != "auto":
        words += ["--device", device]
    return shlex.join(words)


def batch_file(name: str, case: str, inputs: Mapping[str, str], params: Mapping[str, Any], *, seed: int = 0) -> str:
    """A ``BATCH.yaml`` with this one case; more cases are more entries of the list.

    JSON is YAML too, so that no text of a path needs quoting rules of its own.
    """
    lines = [
        "# Run with: protonqa batch THIS-FILE --out FOLDER",
        f"analysis: {json.dumps(name)}",
        f"seed: {seed}",
        f"params: {json.dumps(dict(params))}",
        "cases:",
        f"  - name: {json.dumps(case)}",
    ]
    if inputs:
        lines.append("    inputs:")
        lines += [f"      {option}: {json.dumps(path)}" for option, path in inputs.items()]
    return "\n".join(lines) + "\n"
