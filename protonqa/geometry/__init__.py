"""Where things are: beam frames, body outline, rays with depth profiles, resampling. Pure functions."""
