"""Finding analyses: entry points of the group ``protonqa.analyses``, built-in and third-party through one door.

A plugin runs with full trust, as any Python program does. So being installed is not enough: a third-party
distribution stays off until it is enabled by name and version (``acme-qa==1.2.0``), and listing it reads its
metadata only; none of its code runs.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.metadata
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from protonqa.analyses.interface import Analysis, AnalysisParams, Input
from protonqa.errors import PluginError, ProtonQAError

GROUP = "protonqa.analyses"
#: Comma-separated ``distribution==version`` of the plugins that are allowed to run.
ENABLE_VARIABLE = "PROTONQA_PLUGINS"

_BUILT_IN_DISTRIBUTION = "protonqa"
_BUILT_IN_MODULES = "protonqa.analyses."
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedAnalysis:
    """What the metadata of an installed distribution says about an analysis; no code of it was run.

    ``obstacle`` says why it cannot be used; empty when it can.
    """

    name: str
    origin: str
    distribution: str
    distribution_version: str
    summary: str
    built_in: bool
    enabled: bool
    obstacle: str = ""
    entry_point: importlib.metadata.EntryPoint = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedAnalysis:
    """An analysis ready to run and the distribution it came from."""

    analysis: Analysis
    origin: str
    distribution: str = ""
    distribution_version: str = ""
    built_in: bool = False

    @property
    def requirement(self) -> tuple[str, ...]:
        """What must be enabled for it, as ``distribution==version``; nothing for a built-in analysis."""
        return () if self.built_in else (f"{self.distribution}=={self.distribution_version}",)


def enabled_plugins(enabled: Iterable[str] | None = None) -> frozenset[str]:
    """The plugins allowed to run, as normalised ``distribution==version``.

    Parameters
    ----------
    enabled : iterable of str or None
        ``distribution==version`` each; None reads the variable PROTONQA_PLUGINS. Nothing is on by default.

    Raises
    ------
    PluginError
        An entry without a version: an update must be enabled anew.
    """
    entries = os.environ.get(ENABLE_VARIABLE, "").split(",") if enabled is None else list(enabled)
    allowed = set()
    for entry in entries:
        if not entry.strip():
            continue
        name, equals, version = entry.partition("==")
        if not (equals and name.strip() and version.strip()):
            raise PluginError(
                "a plugin is enabled without its version",
                got=repr(entry.strip()),
                expected="distribution==version",
                remedy=f"write for example {ENABLE_VARIABLE}=acme-qa==1.2.0",
            )
        allowed.add(f"{_normalised(name)}=={version.strip()}")
    return frozenset(allowed)


def listed_analyses(enabled: Iterable[str] | None = None) -> tuple[ListedAnalysis, ...]:
    """All installed analyses by name, built-in ones first; reads metadata only.

    See `enabled_plugins` for `enabled`.
    """
    allowed = enabled_plugins(enabled)
    found = [_listed(point, allowed) for point in importlib.metadata.entry_points(group=GROUP)]
    found.sort(key=lambda one: (not one.built_in, one.name, one.origin))
    seen: dict[str, ListedAnalysis] = {}
    result = []
    for one in found:
        if one.name in seen and not one.obstacle:
            one = _blocked(one, f"the name is taken by {seen[one.name].origin}")
        elif not one.obstacle:
            seen[one.name] = one
        result.append(one)
    return tuple(result)


def load_analysis(name: str, enabled: Iterable[str] | None = None) -> LoadedAnalysis:
    """Import the analysis `name` and check that it keeps the interface.

    Raises
    ------
    PluginError
        Unknown name (the message names the nearest), not enabled, not importable, or not an analysis.
    """
    listed = listed_analyses(enabled)
    candidates = [one for one in listed if one.name == name]
    if not candidates:
        raise _unknown(name, listed)
    usable = next((one for one in candidates if one.enabled and not one.obstacle), None)
    if usable is None:
        one = candidates[0]
        remedy = one.obstacle and "ask its maker for a corrected version"
        raise PluginError(
            f"analysis {name} cannot be used",
            got=one.obstacle or f"{one.origin}, which is not enabled",
            remedy=remedy or f"set {ENABLE_VARIABLE}={one.distribution}=={one.distribution_version} if you trust it",
        )
    return LoadedAnalysis(
        analysis=_load(usable),
        origin=usable.origin,
        distribution=usable.distribution,
        distribution_version=usable.distribution_version,
        built_in=usable.built_in,
    )


def describe(listed: ListedAnalysis) -> dict[str, Any]:
    """Facts of an analysis for ``protonqa analyses``: loaded where enabled, else from metadata alone."""
    facts: dict[str, Any] = {
        "name": listed.name,
        "title": listed.summary or listed.name,
        "version": listed.distribution_version,
        "origin": listed.origin,
        "inputs": [],
        "parameters": {},
        "built_in": listed.built_in,
        "enabled": listed.enabled,
        "problem": listed.obstacle,
    }
    if not listed.enabled or listed.obstacle:
        return facts
    try:
        analysis = _load(listed)
        facts |= {
            "title": analysis.title,
            "version": analysis.version,
            "inputs": [
                {
                    "name": one.name,
                    "kind": one.kind_name,
                    "optional": one.optional,
                    "title": one.title,
                    "many": one.many,
                }
                for one in analysis.inputs
            ],
            "parameters": analysis.Params.model_json_schema(),
        }
    except ProtonQAError as error:
        facts["problem"] = error.line()
    return facts


def check_analysis(analysis: object, name: str, origin: str) -> Analysis:
    """Return `analysis` when it keeps the interface.

    Raises
    ------
    PluginError
        Names the first member that is missing or wrong.
    """
    if not isinstance(analysis, Analysis):
        raise _not_an_analysis(origin, type(analysis).__name__, "name, title, version, inputs, Params, run, commission")
    for member in ("name", "title", "version"):
        if not (isinstance(getattr(analysis, member), str) and getattr(analysis, member).strip()):
            raise _not_an_analysis(origin, f"{member} is not text", "text")
    if analysis.name != name:
        raise _not_an_analysis(origin, f"the name {analysis.name!r}", f"{name!r}, as its entry point says")
    if not (isinstance(analysis.inputs, tuple) and all(isinstance(one, Input) for one in analysis.inputs)):
        raise _not_an_analysis(origin, "inputs of another kind", "a tuple of Input")
    if not (isinstance(analysis.Params, type) and issubclass(analysis.Params, AnalysisParams)):
        raise _not_an_analysis(origin, "Params of another kind", "a subclass of AnalysisParams")
    return analysis


def _load(listed: ListedAnalysis) -> Analysis:
    try:
        # What a plugin prints on import must not end up inside the JSON on standard output.
        with contextlib.redirect_stdout(sys.stderr):
            found = listed.entry_point.load()
            made = found() if isinstance(found, type) else found
    except ProtonQAError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"analysis {listed.name} of {listed.origin} cannot be imported",
            got=type(error).__name__,
            remedy="reinstall it or disable it",
        ) from error
    return check_analysis(made, listed.name, listed.origin)


def _listed(point: importlib.metadata.EntryPoint, allowed: frozenset[str]) -> ListedAnalysis:
    distribution = point.dist
    name = distribution.name if distribution is not None else "unknown"
    version = distribution.version if distribution is not None else "0"
    summary = ""
    if distribution is not None and "Summary" in distribution.metadata:
        summary = str(distribution.metadata["Summary"])
    built_in = _normalised(name) == _BUILT_IN_DISTRIBUTION and point.value.startswith(_BUILT_IN_MODULES)
    return ListedAnalysis(
        name=point.name,
        origin=f"{name} {version}",
        distribution=name,
        distribution_version=version,
        summary="" if built_in else summary,
        built_in=built_in,
        enabled=built_in or f"{_normalised(name)}=={version}" in allowed,
        obstacle="" if _NAME.fullmatch(point.name) else "its name is not lower case with hyphens",
        entry_point=point,
    )


def _blocked(listed: ListedAnalysis, obstacle: str) -> ListedAnalysis:
    return ListedAnalysis(
        name=listed.name,
        origin=listed.origin,
        distribution=listed.distribution,
        distribution_version=listed.distribution_version,
        summary=listed.summary,
        built_in=listed.built_in,
        enabled=False,
        obstacle=obstacle,
        entry_point=listed.entry_point,
    )


def _unknown(name: str, listed: tuple[ListedAnalysis, ...]) -> PluginError:
    names = sorted({one.name for one in listed})
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        remedy = f"did you mean {near[0]}?"
    else:
        remedy = "see protonqa analyses" if names else "install protonqa as a package so that its analyses are found"
    return PluginError(
        "unknown analysis", got=repr(name[:60]), expected=f"one of {', '.join(names)}" if names else "", remedy=remedy
    )


def _not_an_analysis(origin: str, got: str, expected: str) -> PluginError:
    return PluginError(f"an entry point of {origin} is not an analysis", got=got, expected=expected)


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
