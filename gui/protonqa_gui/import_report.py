"""What was found in the folder of a case, what was left out and why, and what the readers noticed."""

from __future__ import annotations

from html import escape

from PySide6.QtWidgets import QTextBrowser, QVBoxLayout, QWidget

from protonqa_gui.display_case import DisplayCase
from protonqa_gui.theme import SEVERITY_COLOURS

_WEIGHT = {"critical": 0, "warning": 1, "info": 2}
_MOST_IGNORED = 200


class ImportReport(QWidget):
    """Findings first, then what was read, then what was not used."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = QTextBrowser()
        self.text.setOpenLinks(False)
        self.text.setAccessibleName(self.tr("Import report"))
        self.setMinimumWidth(240)
        column = QVBoxLayout(self)
        column.setContentsMargins(2, 2, 2, 2)
        column.addWidget(self.text)

    def set_case(self, case: DisplayCase) -> None:
        """Show the report of a case."""
        noticed = sorted(case.findings, key=lambda one: _WEIGHT.get(one["severity"], 3))
        parts = [self.tr("<h4>Findings ({n})</h4>").format(n=len(noticed))]
        parts += [_finding(one) for one in noticed] or [self.tr("<p>None.</p>")]
        parts.append(self.tr("<h4>Found</h4>"))
        parts += [f"<p><b>{escape(what)}</b><br>{escape(details)}</p>" for what, details in case.found]
        parts.append(self.tr("<h4>Not used ({n})</h4>").format(n=len(case.ignored)))
        parts += [f"<p>{escape(name)}<br><i>{escape(why)}</i></p>" for name, why in case.ignored[:_MOST_IGNORED]]
        if len(case.ignored) > _MOST_IGNORED:
            parts.append(self.tr("<p>... and {n} more</p>").format(n=len(case.ignored) - _MOST_IGNORED))
        self.text.setHtml("".join(parts))


def _finding(one: dict[str, str]) -> str:
    colour = SEVERITY_COLOURS.get(one["severity"], "#808080")
    return f"<p><font color='{colour}'><b>{escape(one['severity'].upper())}</b></font> {escape(one['text'])}</p>"
