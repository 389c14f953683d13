"""The desktop program: a thin view over ``protonqa.app``. It is the only code that may import Qt.

Nothing is computed in the process of the window: `tasks` runs in worker processes of `worker`, volumes come back as
files that are mapped into memory, everything else as plain JSON or NPZ bytes.
"""
