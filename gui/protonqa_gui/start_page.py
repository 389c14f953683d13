"""What a newcomer sees first: the demo, a folder, the cases of last time."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QLabel, QListWidget, QListWidgetItem, QPushButton, QVBoxLayout, QWidget


class StartPage(QWidget):
    """Signals: ``demo_wanted``, ``folder_wanted``, ``case_wanted(path)``."""

    demo_wanted = Signal()
    folder_wanted = Signal()
    case_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        title = QLabel(self.tr("<h1>protonqa</h1><p>Did the protons stop where the plan says?</p>"))
        self.demo = QPushButton(self.tr("Open the &demo case"))
        self.folder = QPushButton(self.tr("&Open a folder..."))
        hint = QLabel(self.tr("Or drop a folder with CT, PET, RT Ion Plan and RT Dose onto this window."))
        self.recent = QListWidget()
        self.recent.setAccessibleName(self.tr("Recent cases"))
        self._recent_title = QLabel(self.tr("Recent cases"))
        foot = QLabel(self.tr("Quality assurance research, not for treatment decisions."))
        for button in (self.demo, self.folder):
            button.setMinimumHeight(44)
        column = QVBoxLayout()
        for one in (title, self.demo, self.folder, hint, self._recent_title, self.recent, foot):
            column.addWidget(one)
        box = QWidget()
        box.setLayout(column)
        box.setFixedWidth(460)
        outer = QVBoxLayout(self)
        outer.addStretch(1)
        outer.addWidget(box, 0, Qt.AlignmentFlag.AlignHCenter)
        outer.addStretch(2)
        self.recent.setMaximumHeight(200)
        self.set_recent([])
        self.demo.clicked.connect(self.demo_wanted)
        self.folder.clicked.connect(self.folder_wanted)
        self.recent.itemActivated.connect(lambda item: self.case_wanted.emit(item.data(Qt.ItemDataRole.UserRole)))

    def set_recent(self, folders: list[str]) -> None:
        """Offer the folders opened last."""
        self.recent.clear()
        for folder in folders:
            item = QListWidgetItem(f"{Path(folder).name}   ({Path(folder).parent})")
            item.setData(Qt.ItemDataRole.UserRole, folder)
            item.setToolTip(folder)
            self.recent.addItem(item)
        self.recent.setVisible(bool(folders))
        self._recent_title.setVisible(bool(folders))
