"""Which results store is meant: PROTONQA_STORE, then the site file, then the file in the data folder."""

from __future__ import annotations

import os

from protonqa.site.reading import current_site
from protonqa.store.location import OFF, STORE_VARIABLE, configured_address


def store_address() -> str | None:
    """Path or URL of the results store; None where storing is switched off.

    Raises
    ------
    InputError
        The site file cannot be used.
    """
    if os.environ.get(STORE_VARIABLE, "").strip():
        return configured_address()
    site = current_site()
    if site is None or site.settings.store is None:
        return configured_address()
    url = site.settings.store.url
    if url.strip().lower() == OFF:
        return None
    return url if "://" in url else str(site.beside(url))
