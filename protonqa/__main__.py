"""``python -m protonqa``."""

import sys

from protonqa.cli import main

sys.exit(main())
