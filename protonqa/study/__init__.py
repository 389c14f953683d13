"""Sensitivity studies: scenario sampling, sweeps and statistics (to come)."""
