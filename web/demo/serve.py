"""``flagstone serve`` for the demo: the same service, which ends when the demo does."""

from __future__ import annotations

import sys

from web.lifeline import follow
from web.serve import main

if __name__ == "__main__":
    follow(int(sys.argv[1]))
    sys.exit(main())
