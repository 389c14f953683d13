"""``protonqa phantom``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from protonqa.app.phantom import PhantomParams
from protonqa.cli.common import DEFAULT, Common
from protonqa.cli.options import OPTIONS, completed, without
from protonqa.cli.task import task

if TYPE_CHECKING:
    Options = PhantomParams
else:
    Options = without(PhantomParams, "source")


def phantom(
    source: str,
    /,
    *,
    options: Annotated[Options, OPTIONS],
    common: Common = DEFAULT,
) -> int:
    """Voxelise a phantom or digital twin, as .mha or DICOM CT.

    Parameters
    ----------
    source
        Name of a phantom, a phantom YAML, or twin:SEED for the digital twin drawn from that seed: an abdomen, or
        twin:head:SEED, twin:pelvis:SEED.
    """
    from protonqa.app.phantom import write_phantom

    params = completed(PhantomParams, options, source=source)
    with task(common) as job:
        written = write_phantom(params, seed=common.seed, progress=job.progress)
    return job.finish(written.to_plain(), text=f"{written.summary()}\n  files in {params.out}")
