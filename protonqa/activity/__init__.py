"""From nuclei made to activity seen: time line, washout, blur, noise, window; the same on profiles and volumes.

``arrays`` is the door for NumPy; ``scenario`` and ``washout`` hold values; ``chain`` and its parts work on torch
tensors. Nothing is imported here, so that naming a washout model does not load torch.
"""
