"""From activity along depth to dose and range: features, network, training, calibration, weights and prediction.

Nothing is imported here: the modules need torch, and ``import protonqa`` stays light.
"""
