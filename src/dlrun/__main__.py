"""`python -m dlrun` is the command `dlrun`."""

import sys

from dlrun.cli import main

sys.exit(main())
