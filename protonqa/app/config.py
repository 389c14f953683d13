"""`config`: checking, showing and beginning a site file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from protonqa.durable import write_text_atomic
from protonqa.errors import InputError, ProtonQAError
from protonqa.files.calibrations import read_beam_model, read_hlut
from protonqa.site.reading import CONFIG_VARIABLE, Site, named_files, read_site, site_file, template, user_site_file


def found_site() -> Site:
    """The site file in use.

    Raises
    ------
    InputError
        There is none, or it is wrong.
    """
    path = site_file()
    if path is None:
        raise InputError(
            "there is no site file",
            expected=f"--config FILE, {CONFIG_VARIABLE}, or {user_site_file().name} in the user's configuration folder",
            remedy="begin one with protonqa config template --out site.yaml",
        )
    return read_site(path)


def check_config() -> dict[str, Any]:
    """Read the site file and every calibration that it names.

    Returns
    -------
    dict
        ``path``, ``sha256``, the number of entries of each section, and ``files``: what was read of each calibration.

    Raises
    ------
    InputError, CalibrationError
        The first thing that is wrong, with its line.
    """
    site = found_site()
    settings = site.settings
    files = [_checked(site, name, location) for name, location in named_files(settings)]
    sections = ("ct_scanners", "pet_scanners", "machines", "pacs", "plugins")
    return {
        "ok": True,
        "path": str(site.path),
        "name": settings.name,
        "sha256": site.sha256,
        **{section: len(getattr(settings, section)) for section in sections},
        "files": files,
    }


def show_config() -> dict[str, Any]:
    """The site file as it is understood; passwords of addresses are left out.

    Raises
    ------
    InputError
    """
    site = found_site()
    plain = site.settings.model_dump(mode="json")
    if site.settings.store is not None:
        plain["store"]["url"] = _without_password(site.settings.store.url)
    return {"path": str(site.path), "sha256": site.sha256, "site": plain}


def write_template(out: Path | None) -> str:
    """A commented site file, written to `out` where that is given.

    Raises
    ------
    InputError
        The file is there already.
    StoreError
        It cannot be written.
    """
    text = template()
    if out is not None:
        if out.exists():
            raise InputError("there is a file of that name already", expected="a new file")
        write_text_atomic(out, text, label="site file")
    return text


def _checked(site: Site, name: str, location: tuple[int | str, ...]) -> dict[str, Any]:
    path, line = site.beside(name), site.document.line_of(location)
    try:
        if location[-1] == "hlut":
            table = read_hlut(path)
            return {"file": name, "line": line, "kind": "HU calibration", "rows": int(table.hu.size)}
        model = read_beam_model(path)
        return {"file": name, "line": line, "kind": "beam model", "rows": int(model.nominal_mev.size)}
    except ProtonQAError as error:
        what = f"a file of the site file cannot be used (line {line}): {error.what}"
        raise type(error)(what, got=error.got, expected=error.expected, remedy=error.remedy) from error


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    if not at or "://" not in head:
        return url
    scheme, _, user = head.partition("://")
    return f"{scheme}://{user.split(':')[0]}@{tail}"
