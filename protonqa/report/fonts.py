"""Fonts of the reports: DejaVu Sans, which matplotlib ships, and the standard Asian fonts of PDF viewers."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib as mpl
from matplotlib.font_manager import get_font
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont

REGULAR, BOLD, ITALIC = "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique"
_REPLACEMENT = "\ufffd"
#: Han, kana, Hangul and their full-width signs.
_ASIAN = ((0x2E80, 0x9FFF), (0xAC00, 0xD7AF), (0xF900, 0xFAFF), (0xFF00, 0xFFEF))


@cache
def covered() -> frozenset[int]:
    """Code points that DejaVu Sans can draw."""
    return frozenset(get_font(str(_path(REGULAR))).get_charmap())


def drawable(text: str) -> str:
    """`text` with a replacement sign for each character that DejaVu Sans cannot draw."""
    return "".join(one if ord(one) in covered() else _REPLACEMENT for one in text)


@cache
def register_fonts() -> None:
    """Make the fonts known to reportlab; once is enough."""
    for name in (REGULAR, BOLD, ITALIC):
        pdfmetrics.registerFont(TTFont(name, str(_path(name))))
    pdfmetrics.registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD, italic=ITALIC, boldItalic=BOLD)


def font_runs(text: str) -> list[tuple[str, str]]:
    """(font, text) pieces: an empty font name is the paragraph's own; Asian scripts get the viewer's fonts."""
    asian = _asian_font(text)
    runs: list[tuple[str, str]] = []
    for character in text:
        font = ""
        if ord(character) not in covered():
            if asian and ord(character) < 0x10000 and _is_asian(character):
                font = asian
            else:
                character = _REPLACEMENT
        if runs and runs[-1][0] == font:
            runs[-1] = (font, runs[-1][1] + character)
        else:
            runs.append((font, character))
    return runs


def _asian_font(text: str) -> str:
    """One of the fonts every PDF viewer substitutes for these names; Han alone is set as simplified Chinese."""
    codes = [ord(character) for character in text]
    if any(0x3040 <= code <= 0x30FF for code in codes):
        name = "HeiseiKakuGo-W5"
    elif any(0xAC00 <= code <= 0xD7AF for code in codes):
        name = "HYGothic-Medium"
    elif any(_is_asian(chr(code)) for code in codes):
        name = "STSong-Light"
    else:
        return ""
    if name not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(UnicodeCIDFont(name))
    return name


def _is_asian(character: str) -> bool:
    return any(low <= ord(character) <= high for low, high in _ASIAN)


def _path(name: str) -> Path:
    return Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
