"""``python -m pipegraph``: the same as the command ``pipegraph``."""

import sys

from .cli import main

sys.exit(main())
