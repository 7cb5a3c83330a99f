"""How a child process learns that its supervisor is gone, even one killed without warning.

The supervisor keeps the writing end of a pipe open and never writes. When it ends, in whatever way,
the kernel closes that end, and every child reads end-of-file at once.
"""

from __future__ import annotations

import os
import signal
import threading

# After this long without a tidy end, the child ends anyhow.
GRACE_SECONDS = 4.0


def follow(lifeline: int) -> None:
    """End this process when the supervisor ends: first as by SIGTERM, then for good.

    Parameters
    ----------
    lifeline : int
        File descriptor of the pipe's reading end.
    """

    def wait() -> None:
        while os.read(lifeline, 64):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(GRACE_SECONDS)
        os._exit(1)

    threading.Thread(target=wait, name="flagstone-lifeline", daemon=True).start()
