"""Menus, tool bar and keys of the main window: every command can be reached by keyboard."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction, QKeySequence, QUndoGroup
from PySide6.QtWidgets import QMenu, QMessageBox, QToolBar

from protonqa import __version__
from protonqa_gui.display_case import VIEW_AXES

if TYPE_CHECKING:
    from protonqa_gui.main_window import MainWindow
    from protonqa_gui.slice_panel import SlicePanel


class WindowMenus(QObject):
    """Makes the actions and keeps them in step with the window."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._chosen = "axial"
        self.actions: dict[str, QAction] = {}
        bar = window.menuBar()
        self._file_menu(bar.addMenu(self.tr("&File")))
        self._edit_menu(bar.addMenu(self.tr("&Edit")))
        self._view_menu(bar.addMenu(self.tr("&View")))
        self._run_menu(bar.addMenu(self.tr("&Run")))
        self._help_menu(bar.addMenu(self.tr("&Help")))
        tools = QToolBar(self.tr("Tools"), window)
        tools.setObjectName("tools")
        for name in ("open", "demo", "verify", "cancel"):
            tools.addAction(self.actions[name])
        window.addToolBar(tools)
        self.refresh()

    def refresh(self) -> None:
        """Enable what can be done now."""
        window = self._window
        opened = window.case is not None
        for name in ("verify", "axial", "coronal", "sagittal", "zoom-in", "zoom-out", "fit", "next", "previous"):
            self.actions[name].setEnabled(opened)
        self.actions["verify"].setEnabled(opened and not window.worker.occupied)
        self.actions["cancel"].setEnabled(window.worker.occupied)

    def _add(self, menu: QMenu, name: str, text: str, keys: str, function: Callable[[], object]) -> QAction:
        action = QAction(text, self._window)
        if keys:
            action.setShortcuts([QKeySequence(one) for one in keys.split("|")])
        action.setToolTip(f"{text.replace('&', '')} ({keys.split('|')[0]})" if keys else text.replace("&", ""))
        action.triggered.connect(lambda _=False: function())
        menu.addAction(action)
        self.actions[name] = action
        return action

    def _file_menu(self, menu: QMenu) -> None:
        window = self._window
        self._add(menu, "open", self.tr("&Open a folder..."), "Ctrl+O", window.ask_folder)
        self._recent = menu.addMenu(self.tr("Open &recent"))
        self._recent.aboutToShow.connect(self._fill_recent)
        self._add(menu, "demo", self.tr("&Demo case"), "Ctrl+D", window.open_demo)
        menu.addSeparator()
        self._add(menu, "quit", self.tr("&Quit"), "Ctrl+Q", window.close)

    def _edit_menu(self, menu: QMenu) -> None:
        window = self._window
        of_case, of_form = window.profiles.controls.undo, window.analyses.form.undo
        stack = QUndoGroup(self)
        for one in (of_case, of_form):
            stack.addStack(one)
        stack.setActiveStack(of_case)
        # Undo goes back on the page that is seen.
        window.tabs.currentChanged.connect(
            lambda _: stack.setActiveStack(of_form if window.tabs.currentWidget() is window.analyses else of_case)
        )
        for name, action, keys in (
            ("undo", stack.createUndoAction(self._window, self.tr("&Undo")), "Ctrl+Z"),
            ("redo", stack.createRedoAction(self._window, self.tr("&Redo")), "Ctrl+Shift+Z|Ctrl+Y"),
        ):
            action.setShortcuts([QKeySequence(one) for one in keys.split("|")])
            menu.addAction(action)
            self.actions[name] = action

    def _view_menu(self, menu: QMenu) -> None:
        window = self._window
        for place, (name, text) in enumerate(
            (
                ("case", self.tr("&Case")),
                ("profiles", self.tr("&Profiles")),
                ("analyses", self.tr("&Analyses")),
                ("report", self.tr("&Report")),
                ("study", self.tr("&Study")),
                ("batch", self.tr("&Batch")),
                ("quality", self.tr("&Quality")),
            )
        ):
            self._add(menu, name, text, f"Ctrl+{place + 1}", partial(self._show_tab, place))
        menu.addSeparator()
        for place, view in enumerate(VIEW_AXES):
            text = self.tr("Keys scroll the {view} view").format(view=view)
            self._add(menu, view, text, f"Alt+{place + 1}", partial(self._focus, view))
        self._add(menu, "next", self.tr("&Next slice"), "PgUp", lambda: self._scroll(1))
        self._add(menu, "previous", self.tr("&Previous slice"), "PgDown", lambda: self._scroll(-1))
        self._add(menu, "zoom-in", self.tr("Zoom &in"), "Ctrl++|Ctrl+=", lambda: self._zoom(1.25))
        self._add(menu, "zoom-out", self.tr("Zoom &out"), "Ctrl+-", lambda: self._zoom(0.8))
        self._add(menu, "fit", self.tr("&Fit"), "Ctrl+0", window.case_view.fit)
        menu.addSeparator()
        menu.addAction(window.dock.toggleViewAction())
        self._add(menu, "theme", self.tr("&Light or dark"), "Ctrl+T", self._toggle_theme)

    def _run_menu(self, menu: QMenu) -> None:
        window = self._window
        self._add(menu, "verify", self.tr("&Verify"), "F5", window.verify)
        self._add(menu, "cancel", self.tr("&Cancel"), "Esc", window.worker.cancel)

    def _help_menu(self, menu: QMenu) -> None:
        self._add(menu, "about", self.tr("&About protonqa"), "", self._about)

    def _fill_recent(self) -> None:
        self._recent.clear()
        for folder in self._window.settings.recent_cases():
            action = self._recent.addAction(f"{Path(folder).name}   ({Path(folder).parent})")
            action.triggered.connect(lambda _=False, one=folder: self._window.open_folder(one))
        self._recent.setEnabled(True)

    def _show_tab(self, place: int) -> None:
        self._window.stack.setCurrentWidget(self._window.tabs)
        self._window.tabs.setCurrentIndex(place)

    def _focus(self, view: str) -> None:
        self._show_tab(0)
        self._chosen = view

    def _panel(self) -> SlicePanel:
        return self._window.case_view.panels[self._chosen]

    def _scroll(self, steps: int) -> None:
        self._panel().step(steps)

    def _zoom(self, factor: float) -> None:
        for panel in self._window.case_view.panels.values():
            panel.zoom(factor)

    def _toggle_theme(self) -> None:
        self._window.set_theme("light" if self._window.theme.name == "dark" else "dark")

    def _about(self) -> None:
        text = self.tr("protonqa {version}\n\nQuality assurance research, not for treatment decisions.")
        QMessageBox.about(self._window, "protonqa", text.format(version=__version__))
