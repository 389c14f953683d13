"""Monte Carlo of protons in a voxel CT: dose and positron emitters.

``simulate`` is the one entry; ``laws`` holds the physics once, ``transport`` the walk of a history, ``cpu`` the back
end. Importing this package loads no numba; ``simulate`` does.
"""
