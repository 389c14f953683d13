"""Reports from results only: one document, printed as PDF and as HTML. Heavy libraries load on first use."""
