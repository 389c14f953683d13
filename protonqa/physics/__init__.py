"""Pure physics: stopping power, ranges, materials, nuclides, cross sections, curve metrics."""
