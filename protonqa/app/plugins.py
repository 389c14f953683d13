"""Which third-party analyses may run: those the environment, the site file and the user name, by name and version."""

from __future__ import annotations

import os
from collections.abc import Sequence

from protonqa.analyses.registry import ENABLE_VARIABLE
from protonqa.site.reading import Site


def allowed_plugins(given: Sequence[str] | None, site: Site | None) -> tuple[str, ...]:
    """Distributions that may run, as ``distribution==version``.

    Parameters
    ----------
    given : sequence of str or None
        Named by the user, besides those of the variable PROTONQA_PLUGINS and of the site file. An empty sequence is
        the safe mode: none at all.
    site : Site or None
    """
    if given is not None and not given:
        return ()
    named = [one.strip() for one in os.environ.get(ENABLE_VARIABLE, "").split(",") if one.strip()]
    listed = () if site is None else site.settings.plugins
    return tuple(dict.fromkeys([*named, *listed, *(given or ())]))
