"""The anatomies of which twins can be drawn, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from protonqa.errors import InputError
from protonqa.phantom.abdomen import abdomen_shapes, body_extent_mm
from protonqa.phantom.abdomen_population import abdomen_on_another_day, draw_abdomen
from protonqa.phantom.anatomy import Abdomen, Triple
from protonqa.phantom.head import head_extent_mm, head_shapes
from protonqa.phantom.head_anatomy import Head
from protonqa.phantom.head_population import draw_head, head_on_another_day
from protonqa.phantom.pelvis import pelvis_extent_mm, pelvis_shapes
from protonqa.phantom.pelvis_anatomy import Pelvis
from protonqa.phantom.pelvis_population import draw_pelvis, pelvis_on_another_day
from protonqa.phantom.shapes import AnyShape
from protonqa.phantom.twin_draws import Rng
from protonqa.phantom.twin_parameters import Anatomy, DayChange
from protonqa.yaml_lines import nearest

A = TypeVar("A")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site(Generic[A]):
    """One anatomy: how it is drawn, painted and changed.

    Parameters
    ----------
    name : str
    stream : tuple of int
        Added to the seed of a twin, so that sites do not share random numbers.
    reference : callable
        The reference adult.
    draw : callable
        Random numbers and the anatomy to vary -> a random one.
    shapes : callable
        The anatomy in painting order.
    extent_mm : callable
        Half-width of the skin, and its y in front and at the back.
    other_day : callable
        Random numbers, anatomy, amount of change -> the anatomy of another day.
    day : DayChange
        Usual amount of change.
    wave_mm : float
        Largest irregular displacement of the body.
    shift_sd_mm, rotation_sd_deg : float, (x, y, z)
        Spread of where and how patients lie at planning.
    """

    name: str
    stream: tuple[int, ...]
    reference: Callable[[], A]
    draw: Callable[[Rng, A], A]
    shapes: Callable[[A], list[AnyShape]]
    extent_mm: Callable[[A], tuple[float, float, float]]
    other_day: Callable[[Rng, A, DayChange], A]
    day: DayChange
    wave_mm: float
    shift_sd_mm: float
    rotation_sd_deg: Triple


_ABDOMEN = Site(
    name="abdomen",
    stream=(),
    reference=Abdomen,
    draw=draw_abdomen,
    shapes=abdomen_shapes,
    extent_mm=body_extent_mm,
    other_day=abdomen_on_another_day,
    day=DayChange(),
    wave_mm=7.0,
    shift_sd_mm=4.0,
    rotation_sd_deg=(1.5, 1.5, 4.0),
)
# In a mask a head moves by a millimetre; sinuses fill and clear within weeks.
_HEAD = Site(
    name="head",
    stream=(1,),
    reference=Head,
    draw=draw_head,
    shapes=head_shapes,
    extent_mm=head_extent_mm,
    other_day=head_on_another_day,
    day=DayChange(
        setup_mm=1.0,
        rotation_deg=0.8,
        fat_mm=0.8,
        breathing_mm=0.0,
        organ_mm=1.0,
        bowel_mm=0.0,
        filling=0.12,
        gas_redrawn=0.25,
    ),
    wave_mm=3.5,
    shift_sd_mm=4.0,
    rotation_sd_deg=(4.0, 1.5, 3.0),
)
_PELVIS = Site(
    name="pelvis",
    stream=(2,),
    reference=Pelvis,
    draw=draw_pelvis,
    shapes=pelvis_shapes,
    extent_mm=pelvis_extent_mm,
    other_day=pelvis_on_another_day,
    day=DayChange(
        setup_mm=2.5,
        rotation_deg=1.0,
        fat_mm=1.5,
        breathing_mm=0.0,
        organ_mm=1.8,
        bowel_mm=8.0,
        filling=0.14,
        gas_redrawn=0.6,
    ),
    wave_mm=5.0,
    shift_sd_mm=4.0,
    rotation_sd_deg=(1.5, 1.5, 3.0),
)
_KNOWN: Mapping[str, Site[Any]] = {site.name: site for site in (_ABDOMEN, _HEAD, _PELVIS)}

#: Names of the anatomies, for `draw_twin`.
SITES: tuple[str, ...] = tuple(_KNOWN)


def site_named(name: str | None = None, base: Anatomy | None = None) -> Site[Any]:
    """A site by name, by an anatomy of it, or the abdomen.

    Raises
    ------
    InputError
        Unknown name, or an anatomy of another site.
    """
    wanted = name or (base.site if base is not None else "abdomen")
    if wanted not in _KNOWN:
        raise InputError(
            "unknown anatomy of a twin",
            got=repr(wanted[:40]),
            expected=f"one of {', '.join(SITES)}",
            remedy=nearest(wanted, SITES),
        )
    if base is not None and base.site != wanted:
        raise InputError("the anatomy to vary is of another site", got=base.site, expected=wanted)
    return _KNOWN[wanted]
