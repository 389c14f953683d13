"""Use cases as plain functions: parameters, seed, device, progress and cancel in, values out. No printing, no Qt."""
