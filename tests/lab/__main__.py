"""`python -m tests.lab …`, from the repository's root."""

import sys

from .cli import main

sys.exit(main())
