"""``python -m web.cli``: the same as the ``flagstone`` command."""

from web.cli import main

main(prog_name="flagstone")
