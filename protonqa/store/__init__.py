"""Results that last: database, provenance, amendments, backups, comparison, export, trends."""

from __future__ import annotations

from protonqa.store.comparison import Comparison, compare
from protonqa.store.connection import Store
from protonqa.store.exporting import export
from protonqa.store.opening import open_store
from protonqa.store.reading import find_result, history, load_result, stored_result
from protonqa.store.values import HistoryFilter, Labels, ResultRow, StoredAs, StoredFile
from protonqa.store.writing import amend, save_commissioning, save_result

__all__ = [
    "Comparison",
    "HistoryFilter",
    "Labels",
    "ResultRow",
    "Store",
    "StoredAs",
    "StoredFile",
    "amend",
    "compare",
    "export",
    "find_result",
    "history",
    "load_result",
    "open_store",
    "save_commissioning",
    "save_result",
    "stored_result",
]
