"""Phantom definitions (YAML) and reference irradiations, as package data."""
