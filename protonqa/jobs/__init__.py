"""One runner for tables of work cells: drawn first, computed second, committed cell by cell."""
