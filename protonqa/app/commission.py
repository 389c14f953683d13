"""Acceptance tests of analyses: run, reported as PDF, HTML and JSON, and stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from protonqa.analyses.commissioning import commission_analysis, commissioning_to_plain
from protonqa.analyses.interface import Commissioning
from protonqa.analyses.registry import LoadedAnalysis, listed_analyses, load_analysis
from protonqa.analyses.run_folder import staged_folder
from protonqa.analyses.runner import versions
from protonqa.app.case_run import CaseOrder
from protonqa.app.plugins import allowed_plugins
from protonqa.app.progress import Cancel, Progress, stages
from protonqa.app.recording import Recorder
from protonqa.device import CPU, Device, cpu_label
from protonqa.errors import InputError
from protonqa.files.atomic import write_text_atomic
from protonqa.site.reading import current_site
from protonqa.tables import TABLES_VERSION

COMMISSIONING = "commissioning.json"


class CommissionParams(BaseModel):
    """Which acceptance tests to run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: tuple[str, ...] = Field((), title="Analyses; none means all that are enabled")
    quick: bool = Field(False, title="Fewer histories and cases, the same limits")
    out: Path = Field(title="Folder of the outcome")
    plugins: tuple[str, ...] | None = Field(None, title="Plugins to enable, as distribution==version")
    config: Path | None = Field(None, title="Site file")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CommissioningRun:
    """Outcomes by analysis, and when, where and with what they were made."""

    outcomes: Mapping[str, Commissioning] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """True when every analysis passed all of its checks."""
        return bool(self.outcomes) and all(outcome.passed for outcome in self.outcomes.values())

    def to_plain(self) -> dict[str, Any]:
        """JSON types with the key ``analyses``."""
        return {
            "passed": self.passed,
            **self.facts,
            "analyses": {
                name: {**self.about.get(name, {}), **commissioning_to_plain(outcome)}
                for name, outcome in self.outcomes.items()
            },
        }


def commission(
    params: CommissionParams,
    *,
    seed: int = 0,
    device: Device = CPU,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    record: Recorder | None = None,
) -> CommissioningRun:
    """Run acceptance tests; a failing one never stops the others. Outcomes are stored where `record` is given.

    Raises
    ------
    PluginError
        An unknown or disabled name.
    InputError
        No analysis to commission.
    Cancelled
    """
    from protonqa.report.commissioning_page import write_commissioning_page
    from protonqa.report.commissioning_report import TestedAnalysis, write_commissioning_report

    loaded = _to_commission(params)
    outcomes: dict[str, Commissioning] = {}
    started = datetime.now(UTC)
    facts = {
        "started_utc": started.isoformat(timespec="seconds"),
        "quick": params.quick,
        "seed": seed,
        "computer": cpu_label(),
        "device": device.label,
        "device_kind": device.kind,
        "tables": TABLES_VERSION,
        "versions": versions(),
    }
    with staged_folder(params.out) as folder:
        for one, part in zip(loaded, stages(progress, [1.0] * len(loaded)), strict=True):
            name = one.analysis.name
            part(0, 1, name)
            own = folder / name
            own.mkdir()
            outcomes[name] = _commissioned(
                one, own, seed=seed, device=device, params=params, progress=part, cancel=cancel
            )
            write_commissioning_page(outcomes[name], own, title=one.analysis.title, facts=_for_people(facts))
        tested = tuple(
            TestedAnalysis(
                name=one.analysis.name,
                title=one.analysis.title,
                version=one.analysis.version,
                origin=one.origin,
                outcome=outcomes[one.analysis.name],
            )
            for one in loaded
        )
        write_commissioning_report(tested, folder, facts=_for_people(facts), created=started)
        about = {one.name: {"title": one.title, "version": one.version, "origin": one.origin} for one in tested}
        run = CommissioningRun(outcomes=outcomes, facts=facts, about=about)
        write_text_atomic(folder / COMMISSIONING, json.dumps(run.to_plain(), allow_nan=False, indent=1) + "\n")
    if record is not None:
        for one in loaded:
            name, version = one.analysis.name, one.analysis.version
            record.acceptance_test(name, version, outcomes[name], device=device, seed=seed, quick=params.quick)
    return run


def _commissioned(
    loaded: LoadedAnalysis,
    folder: Path,
    *,
    seed: int,
    device: Device,
    params: CommissionParams,
    progress: Progress | None,
    cancel: Cancel | None,
) -> Commissioning:
    """One acceptance test; that of somebody else in a process of its own."""
    if loaded.built_in:
        return commission_analysis(
            loaded.analysis, seed=seed, device=device, quick=params.quick, progress=progress, cancel=cancel, out=folder
        )
    from protonqa.app.isolated import commission_isolated

    order = CaseOrder(
        analysis=loaded.analysis.name,
        plugins=loaded.requirement,
        seed=seed,
        device={"kind": device.kind, "requested": device.requested},
    )
    return commission_isolated(loaded, order, folder, quick=params.quick, progress=progress, cancel=cancel)


def _for_people(facts: Mapping[str, Any]) -> dict[str, str]:
    """Facts of an acceptance test as its page names them."""
    return {
        "program": f"protonqa {facts['versions']['protonqa']}",
        "libraries": ", ".join(f"{name} {one}" for name, one in facts["versions"].items() if name != "protonqa"),
        "data tables": str(facts["tables"]),
        "date": str(facts["started_utc"])[:10],
        "extent": "quick: fewer histories and cases, the same limits" if facts["quick"] else "full",
        "computer": " with ".join(dict.fromkeys((str(facts["computer"]), str(facts["device"])))),
        "seed": str(facts["seed"]),
    }


def _to_commission(params: CommissionParams) -> list[LoadedAnalysis]:
    allowed = allowed_plugins(params.plugins, current_site(params.config))
    names = params.names or tuple(
        listed.name for listed in listed_analyses(allowed) if listed.enabled and not listed.obstacle
    )
    if not names:
        raise InputError(
            "there is no analysis to commission",
            expected="the analyses of an installed protonqa",
            remedy="install protonqa as a package (pip install .)",
        )
    return [load_analysis(name, allowed) for name in dict.fromkeys(names)]
