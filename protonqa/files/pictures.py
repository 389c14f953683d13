"""Pictures (PNG) as volumes: screenshots and exported slices, for analyses of pictures; never for measurements."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from protonqa.errors import InputError
from protonqa.values import Grid, Volume

#: A picture that unpacks to more than this is refused before it is unpacked.
MOST_PIXELS = 2**26
_GREY = {"1": 1.0, "L": 255.0, "I;16": 65535.0}
_COLOUR = ("RGB", "RGBA", "P", "LA")


def read_picture(path: Path) -> Volume:
    """A PNG picture with values 0 to 1 (unit ``relative``): grey as one slice, colour as red, green and blue slices.

    A pixel has no size in mm; the grid says 1 mm. Transparency is laid over black.

    Raises
    ------
    InputError
        Not readable, not a PNG file, damaged, or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # Named formats only: others run decoders that nobody asked for.
            with Image.open(path, formats=("PNG",)) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    raise _refused(f"{picture.width} x {picture.height} pixels", f"at most {MOST_PIXELS} pixels")
                channels = _channels(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _refused(type(error).__name__, "a PNG picture") from error
    grid = Grid(shape=channels.shape, spacing_mm=(1.0, 1.0, 1.0), origin_mm=(0.0, 0.0, 0.0))
    return Volume(grid=grid, array=channels, unit="relative")


def _channels(picture: Image.Image) -> np.ndarray[tuple[int, int, int], np.dtype[np.float32]]:
    """(1, n_y, n_x) or (3, n_y, n_x), 0 to 1."""
    if picture.mode in _GREY:
        return np.asarray(picture, dtype=np.float32)[None] / np.float32(_GREY[picture.mode])
    if picture.mode not in _COLOUR:
        raise _refused(f"pixels of kind {picture.mode}", "grey or colour, 8 or 16 bit")
    pixels = np.asarray(picture.convert("RGBA"), dtype=np.float32) / np.float32(255.0)
    colours = np.moveaxis(pixels[..., :3] * pixels[..., 3:], -1, 0)
    return colours[:1] if picture.mode == "LA" else colours


def _refused(got: str, expected: str) -> InputError:
    return InputError("the picture cannot be used", got=got, expected=expected)
