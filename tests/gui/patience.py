"""How long the tests of the window wait, and how little they compute."""

from __future__ import annotations

PROTONS = 4000
#: A busy computer takes its time; the limit only ends a test that hangs.
PATIENCE_MS = 240_000
