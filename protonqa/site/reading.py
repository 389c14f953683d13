"""Finding and reading the site file: ``--config``, then PROTONQA_CONFIG, then the user's configuration folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from protonqa.errors import InputError
from protonqa.site.schema import SiteFile
from protonqa.yaml_lines import LinedDocument, Location, checked, known_keys, read_keys

CONFIG_VARIABLE = "PROTONQA_CONFIG"
FILE_NAME = "site.yaml"
_MAX_BYTES = 256 * 1024

_CHOSEN: ContextVar[Path | None] = ContextVar("site_file", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A site file that was read and found sound.

    Parameters
    ----------
    path : Path
    settings : SiteFile
    sha256 : str
        Of its bytes and of every file it names, so that two runs with one hash had one configuration.
    document : LinedDocument
        Knows the line of every key.
    """

    path: Path = field(repr=False)
    settings: SiteFile
    sha256: str
    document: LinedDocument = field(repr=False)

    def line_of(self, *location: int | str) -> int:
        """Line of a key, from 1."""
        return self.document.line_of(location)

    def beside(self, name: str) -> Path:
        """A path of the file, counted from its folder."""
        return (self.path.parent / name).resolve()


def site_file(given: Path | None = None) -> Path | None:
    """The site file to use; None where there is none.

    Parameters
    ----------
    given : Path, optional
        Named by the user: it must be there.

    Raises
    ------
    InputError
        A file that was named, as an option or in the environment, is not there.
    """
    named = given or _CHOSEN.get()
    if named is None:
        variable = os.environ.get(CONFIG_VARIABLE)
        if variable is not None and not variable.strip():
            return None  # set and empty: no site file, wherever one may lie
        named = Path(variable).expanduser() if variable else None
    if named is not None:
        if not named.is_file():
            raise InputError("the site file is not there", expected="--config FILE, or another PROTONQA_CONFIG")
        return named
    own = user_site_file()
    return own if own.is_file() else None


def user_site_file() -> Path:
    """Where the user's own site file would lie."""
    import platformdirs

    return Path(platformdirs.user_config_path("protonqa", appauthor=False)) / FILE_NAME


@contextmanager
def chosen_site_file(path: Path | None) -> Iterator[None]:
    """Everything in the block that asks for the site file gets this one; None changes nothing."""
    token = _CHOSEN.set(path or _CHOSEN.get())
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def current_site(given: Path | None = None) -> Site | None:
    """The site file that `site_file` finds, read; None where there is none.

    Raises
    ------
    InputError
    """
    path = site_file(given)
    return None if path is None else read_site(path)


def read_site(path: Path) -> Site:
    """Read and check a site file; files that it names must be there, but are not read.

    Raises
    ------
    InputError
        Not readable, not YAML, a wrong key (its line and the nearest known key are named), a file that is not there.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "not UTF-8") or type(error).__name__
        raise InputError("the site file cannot be read", got=reason) from error
    if len(content) > _MAX_BYTES:
        raise InputError("the site file is too large", expected=f"at most {_MAX_BYTES} bytes")
    document = read_keys(text, "site")
    settings = checked(document, SiteFile, "site", lambda location: known_keys(SiteFile, location))
    site = Site(path=path.resolve(), settings=settings, sha256="", document=document)
    digest = hashlib.sha256(content)
    for name, location in named_files(settings):
        try:
            digest.update(site.beside(name).read_bytes())
        except OSError as error:
            raise InputError(
                f"the site file names a file that cannot be read (line {document.line_of(location)})",
                got=error.strerror or type(error).__name__,
                expected=f"{document.path_of(location)} beside the site file",
            ) from error
    _refuse_doubles(site)
    return Site(path=site.path, settings=settings, sha256=digest.hexdigest(), document=document)


def named_files(settings: SiteFile) -> list[tuple[str, Location]]:
    """Every file that the site file names, and where."""
    found: list[tuple[str, Location]] = []
    for place, scanner in enumerate(settings.ct_scanners):
        for at, one in enumerate(scanner.calibrations):
            found.append((one.hlut, ("ct_scanners", place, "calibrations", at, "hlut")))
    for place, machine in enumerate(settings.machines):
        if machine.beam_model:
            found.append((machine.beam_model, ("machines", place, "beam_model")))
    return found


def template() -> str:
    """A commented site file to begin with."""
    return files("protonqa.site").joinpath("template.yaml").read_text(encoding="utf-8")


def _refuse_doubles(site: Site) -> None:
    for section in ("ct_scanners", "pet_scanners", "machines", "pacs"):
        seen: set[str] = set()
        for place, one in enumerate(getattr(site.settings, section)):
            if one.name.casefold() in seen:
                raise InputError(
                    f"two of {section} have one name (line {site.line_of(section, place, 'name')})",
                    got=repr(one.name[:40]),
                    expected="names that differ",
                )
            seen.add(one.name.casefold())
