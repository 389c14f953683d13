"""What a clinic says once for all its work: scanners, machines, tolerances, nodes, store and plugins."""
