"""The desktop program: a thin view over ``protonqa.app``. It is the only code that may import Qt."""
