"""How the times of an irradiation and of a PET frame stand in DICOM, for the reader and for the writer.

The convention of protonqa, inside the item of RadiopharmaceuticalInformationSequence:

- Radiopharmaceutical is ``proton-induced positron emitters``: nothing was administered, the beam made the activity;
- RadiopharmaceuticalStartDateTime is the start of the irradiation, RadiopharmaceuticalStopDateTime its end;
- DecayCorrection is NONE: the emitters are a mix, no single half-life corrects them.

The frame starts at AcquisitionDate + AcquisitionTime and lasts ActualFrameDuration (ms). Only dated times count: a time
of day alone cannot tell five minutes from a day. Times carry the zone of their own suffix or of TimezoneOffsetFromUTC;
without either they are the local clock of the scanner and are marked UTC, which is harmless as long as all times of one
image come from that clock.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import numpy as np

from protonqa.errors import DicomError, NotEvaluableError
from protonqa.values import PetTiming, Timeline

#: Radiopharmaceutical of a PET whose activity a proton field left behind.
RADIOPHARMACEUTICAL = "proton-induced positron emitters"

#: Longest believable wait from end of beam to the frame: after 4 h 11C is down by 12 half-lives, so a longer wait means
#: two clocks or a wrong day, not a scan.
MAX_DELAY_S = 4 * 3600.0

#: Longest believable irradiation of one field, for the same reason.
MAX_IRRADIATION_S = 3600.0

_DA = re.compile(r"(\d{4})[.]?(\d{2})[.]?(\d{2})")
_TM = re.compile(r"(\d{2}):?(\d{2}):?(\d{2})(?:\.(\d{1,6}))?")
_DT = re.compile(r"(\d{8})(\d{6}(?:\.\d{1,6})?)([+-]\d{4})?")
_ZONE = re.compile(r"([+-])(\d{2})(\d{2})")


def zone_from_offset(text: str) -> timezone | None:
    """The zone of a DICOM offset such as ``+0200``; None when the text is empty or not an offset."""
    match = _ZONE.fullmatch(text.strip())
    if not match:
        return None
    sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    if offset > timedelta(hours=14):
        return None
    return timezone(offset if sign == "+" else -offset)


def moment(date: str, time: str, zone: timezone | None) -> datetime | None:
    """A DICOM date (DA) and time (TM) as one moment; None unless both are there, to the second.

    Parameters
    ----------
    date, time : str
        ``YYYYMMDD`` and ``HHMMSS.FFFFFF``.
    zone : timezone or None
        Zone of the file's TimezoneOffsetFromUTC; None marks the scanner's local clock as UTC.
    """
    day, clock = _DA.fullmatch(date.strip()), _TM.fullmatch(time.strip())
    if not day or not clock:
        return None
    year, month, dom = (int(part) for part in day.groups())
    hour, minute, second = (int(part) for part in clock.groups()[:3])
    micro = int((clock.group(4) or "0").ljust(6, "0"))
    try:
        # DICOM allows second 60 for a leap second; Python does not.
        moment_s = datetime(year, month, dom, hour, minute, min(second, 59), micro, tzinfo=zone or UTC)
    except ValueError:
        return None
    return moment_s + timedelta(seconds=1) if second == 60 else moment_s


def moment_from_dt(text: str, zone: timezone | None) -> tuple[datetime | None, bool]:
    """A DICOM date-time (DT) and whether it carries its own zone; None when it is not given to the second."""
    match = _DT.fullmatch(text.strip())
    if not match:
        return None, False
    date, time, suffix = match.groups()
    own = zone_from_offset(suffix) if suffix else None
    if suffix and own is None:
        return None, True
    return moment(date, time, own or zone), own is not None


def timeline_from_pet(timing: PetTiming, *, clock_offset_s: float = 0.0) -> Timeline | None:
    """Irradiation, delay and acquisition of a PET; None when the file does not say when the beam was on.

    Parameters
    ----------
    timing : PetTiming
    clock_offset_s : float
        Added to the PET's clock: scanner and beam console seldom agree. Positive when the scanner is slow.

    Raises
    ------
    DicomError
        The frame starts before the beam ends, or the wait or the irradiation is longer than anything believable:
        the clocks or the dates are wrong.
    """
    if timing.irradiation_end is None or timing.irradiation_duration_s is None:
        return None
    if timing.frame_start is None or timing.frame_duration_s is None:
        return None
    delay_s = (timing.frame_start - timing.irradiation_end).total_seconds() + clock_offset_s
    if delay_s < 0:
        raise DicomError(
            "the PET frame starts before the irradiation ends",
            got=f"a delay of {delay_s:.1f} s",
            expected=f"0 to {MAX_DELAY_S:g} s",
            remedy="compare the clocks and dates of scanner and beam, or state delay and irradiation yourself",
        )
    if delay_s > MAX_DELAY_S:
        raise DicomError(
            "the PET frame starts too long after the irradiation to be believed",
            got=f"a delay of {delay_s:.0f} s",
            expected=f"0 to {MAX_DELAY_S:g} s",
            remedy="compare the clocks and dates of scanner and beam, or state delay and irradiation yourself",
        )
    if not 0 <= timing.irradiation_duration_s <= MAX_IRRADIATION_S:
        raise DicomError(
            "the irradiation of the PET has an impossible duration",
            got=f"{timing.irradiation_duration_s:.1f} s",
            expected=f"0 to {MAX_IRRADIATION_S:g} s",
        )
    return Timeline(irradiation_s=timing.irradiation_duration_s, delay_s=delay_s, acquisition_s=timing.frame_duration_s)


def frame_activity_factor(timing: PetTiming) -> float:
    """Factor that takes the stored values back to the mean activity of the frame, undoing the decay correction.

    NONE: 1. START: 1 / DecayFactor. ADMIN: vendors store either the whole factor back to the administration or only the
    part back to the start of the series; the one that agrees with the times is used.

    Returns
    -------
    float
        Multiply the values in Bq/ml with it.

    Raises
    ------
    NotEvaluableError
        Half-life, times or DecayFactor are missing or contradict each other: the shape of the image still stands, its
        absolute activity does not.

    Notes
    -----
    Source: DICOM PS3.3 C.8.9.1 (PET Series: DecayCorrection) and C.8.9.4 (PET Image: DecayFactor, FrameReferenceTime).
    """
    if timing.decay_correction == "NONE":
        return 1.0
    factor = timing.decay_factor
    if factor is None or factor <= 0:
        raise _absolute_unknown("DecayFactor is missing")
    if timing.decay_correction == "START":
        return 1.0 / factor
    if None in (timing.half_life_s, timing.frame_start, timing.frame_duration_s, timing.administration):
        raise _absolute_unknown("half-life, frame time or time of administration is missing")
    if _agrees(timing, timing.administration, factor):
        return 1.0 / factor
    if timing.series_reference is not None and _agrees(timing, timing.series_reference, factor):
        return 1.0 / (factor * _decay(timing, (timing.series_reference - timing.administration).total_seconds()))  # type: ignore[operator]
    raise _absolute_unknown("DecayFactor agrees neither with the administration nor with the start of the series")


def _decay(timing: PetTiming, elapsed_s: float) -> float:
    """2 ** (elapsed / half-life), kept inside the range of floats."""
    return float(2.0 ** np.clip(elapsed_s / float(timing.half_life_s or np.inf), -1000.0, 1000.0))


def _agrees(timing: PetTiming, reference: datetime | None, factor: float) -> bool:
    """True when `factor` is the decay from `reference` to some moment inside the frame (1 % of slack)."""
    if reference is None or timing.frame_start is None or timing.frame_duration_s is None:
        return False
    start_s = (timing.frame_start - reference).total_seconds()
    low, high = _decay(timing, start_s), _decay(timing, start_s + timing.frame_duration_s)
    return 0.99 * low <= factor <= 1.01 * high


def _absolute_unknown(why: str) -> NotEvaluableError:
    return NotEvaluableError(
        "absolute activity of the PET is not evaluable",
        got=why,
        expected="a decay correction that can be undone",
        remedy="use the image for its shape only, or export it without decay correction",
    )
