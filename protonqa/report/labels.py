"""What all drawings share: colours, and labels that the fonts can draw."""

from __future__ import annotations

from protonqa.report.fonts import drawable
from protonqa.report.text import clean, visual_order

#: After Okabe and Ito (2008), ordered so that neighbours differ in lightness too; all legible as text.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#000000", "#AA4499", "#E69F00", "#56B4E9")
INK = "#222222"


def label_text(text: str) -> str:
    """A label of an axis, curve or mark."""
    return drawable(visual_order(clean(text, limit=80)))
