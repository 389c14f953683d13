"""Results database, artefacts, provenance and trends (to come)."""
