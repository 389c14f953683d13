"""What the window remembers from one start to the next: layout, folders, looks."""

from __future__ import annotations

import os
from pathlib import Path

from PySide6.QtCore import QByteArray, QSettings

#: Names the folder of the settings file; by default the user's own.
SETTINGS_VARIABLE = "PROTONQA_GUI_SETTINGS"
MOST_RECENT = 8


class Settings:
    """A thin, typed face of QSettings; a damaged or foreign value counts as absent."""

    def __init__(self) -> None:
        folder = os.environ.get(SETTINGS_VARIABLE, "").strip()
        if folder:
            self._store = QSettings(str(Path(folder) / "window.ini"), QSettings.Format.IniFormat)
        else:
            self._store = QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "protonqa", "window")

    def text(self, key: str, default: str = "") -> str:
        """A text."""
        value = self._store.value(key, default)
        return value if isinstance(value, str) else default

    def set_text(self, key: str, value: str) -> None:
        """Remember a text."""
        self._store.setValue(key, value)

    def blob(self, key: str) -> QByteArray | None:
        """Bytes as Qt writes them (geometry and state of a window)."""
        value = self._store.value(key)
        return value if isinstance(value, QByteArray) else None

    def set_blob(self, key: str, value: QByteArray) -> None:
        """Remember bytes."""
        self._store.setValue(key, value)

    def recent_cases(self) -> list[str]:
        """Folders of the cases opened last, the latest first."""
        value = self._store.value("recent", [])
        rows = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        return [one for one in rows if isinstance(one, str) and one][:MOST_RECENT]

    def add_recent(self, folder: str) -> None:
        """Put a folder at the top of the recent ones."""
        kept = [one for one in self.recent_cases() if one != folder]
        self._store.setValue("recent", [folder, *kept][:MOST_RECENT])

    def forget_recent(self, folder: str) -> None:
        """Take a folder off the recent ones."""
        self._store.setValue("recent", [one for one in self.recent_cases() if one != folder])

    def save(self) -> None:
        """Write to disk now."""
        self._store.sync()
