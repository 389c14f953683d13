"""Text that came from a file, made safe to print: no control characters, readable right to left, bounded length.

Escaping belongs to the writers (`pdf.py`, `html.py`), each for its own markup; nothing here is markup.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

#: Keeps a number and its unit on one line.
NBSP = "\u00a0"
#: Characters that change the direction or the look of their neighbours and can make a text read as another.
_INVISIBLE_RANGES = ((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0xFFF9, 0xFFFB))
_INVISIBLE = frozenset("\u00ad\u061c\u180e\ufeff").union(
    chr(code) for low, high in _INVISIBLE_RANGES for code in range(low, high + 1)
)
_MIRROR = str.maketrans("()[]{}<>«»", ")(][}{><»«")
_RIGHT_TO_LEFT = ("R", "AL")
_NUMBER = ("EN", "AN", "ES", "ET", "CS")


def clean(text: object, *, limit: int = 300) -> str:
    """One line of printable text of at most `limit` characters.

    Control characters and line breaks become spaces, invisible and direction-changing characters go, lone
    surrogates and unassigned characters become a replacement sign; the rest is composed (NFC).
    """
    characters = []
    for character in str(text)[: 4 * limit]:
        kind = unicodedata.category(character)
        if character in _INVISIBLE or kind == "Cf":
            continue
        if kind in ("Cs", "Cn", "Co"):
            characters.append("\ufffd")
        elif kind in ("Cc", "Zl", "Zp", "Zs") and character != NBSP:
            characters.append(" ")
        else:
            characters.append(character)
    line = re.sub(" +", " ", unicodedata.normalize("NFC", "".join(characters))).strip()
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def patient_name(name: str) -> str:
    """A DICOM person name for people: components by comma, representations by slash."""
    groups = []
    for group in clean(name).split("="):
        parts = [part.strip() for part in group.split("^")]
        given, titles = " ".join(parts[1:3]).strip(), " ".join(parts[3:]).strip()
        groups.append(", ".join(part for part in (parts[0], given, titles) if part))
    return " / ".join(group for group in groups if group)


def patient_date(text: str) -> str:
    """A DICOM date as YYYY-MM-DD; anything else as it is."""
    line = clean(text, limit=40)
    return f"{line[:4]}-{line[4:6]}-{line[6:]}" if len(line) == 8 and line.isdecimal() else line


def withheld(text: str, secrets: Iterable[str]) -> str:
    """`text` without any of `secrets`, whatever their case; short secrets are matched as whole words only."""
    for secret in sorted({one for one in secrets if one.strip()}, key=len, reverse=True):
        pattern = re.escape(secret)
        if len(secret) < 5:
            pattern = rf"(?<![^\W_]){pattern}(?![^\W_])"
        text = re.sub(pattern, "[withheld]", text, flags=re.IGNORECASE)
    return text


def visual_order(text: str) -> str:
    """`text` with its right-to-left runs shaped and reversed, for writers that only place glyphs left to right.

    A short form of the Unicode bidirectional algorithm for single lines in a left-to-right page: each run from one
    right-to-left letter to the last is reversed as a whole, numbers inside it keep their order.
    """
    kinds = [unicodedata.bidirectional(character) for character in text]
    strong = [index for index, kind in enumerate(kinds) if kind in _RIGHT_TO_LEFT]
    if not strong:
        return text
    pieces, done = [], 0
    for start, stop in _runs(kinds, strong):
        pieces.append(text[done:start])
        done = _with_tail(text, start, stop)
        pieces.append(_reversed_run(text[start:done]))
    pieces.append(text[done:])
    return "".join(pieces)


def _runs(kinds: list[str], strong: list[int]) -> list[tuple[int, int]]:
    """Spans between right-to-left letters that hold no left-to-right letter."""
    runs: list[tuple[int, int]] = []
    for index in strong:
        if runs and "L" not in kinds[runs[-1][1] : index]:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    return runs


def _with_tail(text: str, start: int, stop: int) -> int:
    """The run's end after its combining marks and the brackets it opened."""
    while stop < len(text) and unicodedata.bidirectional(text[stop]) == "NSM":
        stop += 1
    for opening, closing in ("()", "[]", "{}"):
        if text[stop : stop + 1] == closing and text.count(opening, start, stop) > text.count(closing, start, stop):
            stop += 1
    return stop


def _reversed_run(run: str) -> str:
    clusters: list[str] = []
    for character in _shaped(run):
        kind = unicodedata.bidirectional(character)
        previous = unicodedata.bidirectional(clusters[-1][0]) if clusters else ""
        if clusters and (kind == "NSM" or (kind in _NUMBER and previous in _NUMBER)):
            clusters[-1] += character
        else:
            clusters.append(character)
    return "".join(one if len(one) > 1 else one.translate(_MIRROR) for one in reversed(clusters))


def _shaped(run: str) -> str:
    """Arabic letters in the form their neighbours ask for (Unicode presentation forms)."""
    forms = _arabic_forms()
    letters = list(run)
    joins = [index for index, one in enumerate(letters) if unicodedata.category(one) != "Mn"]
    shaped = list(letters)
    for place, index in enumerate(joins):
        own = forms.get(letters[index])
        if own is None:
            continue
        before = forms.get(letters[joins[place - 1]], {}) if place else {}
        after = forms.get(letters[joins[place + 1]], {}) if place + 1 < len(joins) else {}
        # A letter joins forward only if it has an initial form, backward only if it has a final one.
        from_before = "initial" in before and "final" in own
        to_after = "initial" in own and "final" in after
        wanted = {(True, True): "medial", (True, False): "final", (False, True): "initial"}.get((from_before, to_after))
        shaped[index] = own.get(wanted or "isolated", letters[index])
    return "".join(shaped)


@cache
def _arabic_forms() -> dict[str, dict[str, str]]:
    """Presentation forms of each letter, from the decompositions in the Unicode database."""
    forms: dict[str, dict[str, str]] = {}
    for code in (*range(0xFB50, 0xFC00), *range(0xFE70, 0xFEFD)):
        kind, *letters = unicodedata.decomposition(chr(code)).split() or ("",)
        if len(letters) == 1 and kind.strip("<>") in ("isolated", "initial", "medial", "final"):
            forms.setdefault(chr(int(letters[0], 16)), {})[kind.strip("<>")] = chr(code)
    return forms
