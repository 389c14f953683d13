"""The site file: one definition of every key, its unit and its bounds."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from protonqa.errors import InputError
from protonqa.yaml_lines import LocatedError

_PLUGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.+!_-]*")
_DATABASE = re.compile(r"(sqlite|postgres|postgresql|postgresql\+psycopg)://.+|off")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _named_version(text: str) -> str:
    if not _PLUGIN.fullmatch(text.replace(" ", "")):
        raise LocatedError(InputError("a plugin is enabled without its version", expected="distribution==version"))
    return text.replace(" ", "")


def _address(text: str) -> str:
    if "://" in text or text == "off":
        if not _DATABASE.fullmatch(text):
            raise LocatedError(
                InputError("the store is no database address", expected="a file, sqlite:///PATH or postgresql://...")
            )
    elif not text.strip():
        raise LocatedError(InputError("the store has no address", expected="a file, or the URL of a database"))
    return text


Name = Annotated[str, Field(min_length=1, max_length=64)]
#: As DICOM writes it; ``*`` and ``?`` stand for letters, case does not count, absent fits everything.
Pattern = Annotated[str, Field(min_length=1, max_length=64)]


class CtCalibration(_Section):
    """The HU calibration of one protocol of a scanner."""

    protocol: Pattern = Field(title="ProtocolName of the CT series; '*' for all")
    hlut: str = Field(min_length=1, title="HU to RSP table (CSV), counted from the site file")


class CtScanner(_Section):
    """A planning CT and its calibrations."""

    name: Name = Field(title="What the clinic calls it")
    manufacturer: Pattern = Field("*", title="Manufacturer of the CT series")
    model: Pattern = Field("*", title="ManufacturerModelName of the CT series")
    calibrations: list[CtCalibration] = Field(min_length=1, title="HU calibrations by protocol")


class PetScanner(_Section):
    """A PET and its resolution."""

    name: Name = Field(title="What the clinic calls it")
    manufacturer: Pattern = Field("*", title="Manufacturer of the PET series")
    model: Pattern = Field("*", title="ManufacturerModelName of the PET series")
    protocol: Pattern = Field("*", title="ProtocolName of the PET series")
    psf_mm: float = Field(ge=0, le=30, title="Resolution of the reconstructed image (FWHM), mm")


class Machine(_Section):
    """A treatment machine, as plans name it."""

    name: Name = Field(title="What the clinic calls it")
    treatment_machine: Pattern = Field(title="TreatmentMachineName of the beams")
    beam_model: str = Field("", title="Beam model (YAML or CSV), counted from the site file")
    tolerance_mm: float | None = Field(None, gt=0, le=50, title="Action level of this machine, mm")


class Tolerances(_Section):
    """Action levels where nothing more special is said."""

    range_mm: float | None = Field(None, gt=0, le=50, title="Action level of range verification, mm")


class PacsNode(_Section):
    """A DICOM node on the network."""

    name: Name = Field(title="What the clinic calls it")
    ae_title: str = Field(pattern=r"^[ -\[\]-~]{1,16}$", title="Its application entity title")
    host: str = Field(pattern=r"^[A-Za-z0-9._:-]{1,253}$", title="Name or address")
    port: int = Field(ge=1, le=65535, title="Port")
    calling_ae_title: str = Field("PROTONQA", pattern=r"^[ -\[\]-~]{1,16}$", title="What we call ourselves there")
    tls: bool = Field(False, title="Encrypt the association")


class StorePlace(_Section):
    """The results store."""

    url: Annotated[str, AfterValidator(_address)] = Field(title="A file, the URL of a database, or 'off'")


class SiteFile(_Section):
    """The whole file."""

    name: str = Field("", max_length=64, title="The clinic")
    ct_scanners: list[CtScanner] = Field(default_factory=list, title="Planning CTs and their HU calibrations")
    pet_scanners: list[PetScanner] = Field(default_factory=list, title="PET scanners and their resolution")
    machines: list[Machine] = Field(default_factory=list, title="Treatment machines")
    tolerances: Tolerances = Field(default_factory=Tolerances, title="Action levels")
    pacs: list[PacsNode] = Field(default_factory=list, title="DICOM nodes")
    store: StorePlace | None = Field(None, title="Where results are kept")
    plugins: list[Annotated[str, AfterValidator(_named_version)]] = Field(
        default_factory=list, title="Third-party analyses that may run, each as distribution==version"
    )
