"""``protonqa analyses``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protonqa.cli.common import DEFAULT, Common
from protonqa.cli.options import Enable, NoPlugins
from protonqa.cli.task import task


def analyses(
    *,
    enable: Enable = None,
    no_plugins: NoPlugins = False,
    common: Common = DEFAULT,
) -> int:
    """List the analyses, their inputs and parameters.

    Third-party analyses are off until enabled; listing them runs none of their code.

    Parameters
    ----------
    enable
        Third-party plugins to enable, each as distribution==version.
    no_plugins
        Safe mode: built-in analyses only.
    """
    from protonqa.app.analyses import list_analyses

    with task(common) as job:
        listed = list_analyses(() if no_plugins else enable)
    text = "\n".join(_lines(one) for one in listed["analyses"]) or "no analyses found: install protonqa as a package"
    return job.finish(listed, text=text)


def _lines(one: Mapping[str, Any]) -> str:
    head = f"{one['name']}  {one['title']}, version {one['version']} ({one['origin']})"
    lines = [head if one["enabled"] else f"{head}: off"]
    for wanted in one["inputs"]:
        optional = ", optional" if wanted["optional"] else ""
        lines.append(f"    input {wanted['name']}: {wanted['kind']}{optional}")
    for name, schema in one["parameters"].get("properties", {}).items():
        unit = f" {schema['unit']}" if schema.get("unit") else ""
        default = f" = {schema['default']}{unit}" if schema.get("default") is not None else ""
        lines.append(f"    {name}{default}: {schema.get('title', name)}")
    if one["problem"]:
        lines.append(f"    problem: {one['problem']}")
    return "\n".join(lines)
