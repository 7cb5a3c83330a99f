"""The errors of the experiments room, one tree.

::

    FlagstoneError                      (flags.errors)
    ├── InvalidInputError
    │   ├── PlanError                   a plan or a policy has a fault; ``field`` says where
    │   ├── RowError                    a row of a replayed file cannot be read
    │   ├── SourceError                 a source cannot be reached or read; ``field`` says where
    │   └── RecordError                 a record file is not one
    ├── StateError
    │   ├── SealBrokenError             the rule in the flag is not the one that was sealed
    │   ├── PendingError                the worker has not computed yet what is needed
    │   │   ├── ForecastPendingError    the forecast of the present plan
    │   │   └── TrialPendingError       what a policy's present rules do
    │   └── NotFeasibleError            the forecast speaks against the start; ``field`` says why
    └── FencedError                     another worker took the lease over
"""

from __future__ import annotations

from flags.errors import FlagstoneError, InvalidInputError, StateError


class PlanError(InvalidInputError):
    """A plan or a policy has a fault; ``field`` names it and ``hint`` says what to write."""

    code = "invalid_plan"


class RowError(InvalidInputError):
    """A row of a replayed file cannot be read.

    Parameters
    ----------
    file, column, reason : str
        Where and why; ``column`` is empty when the whole row is at fault.
    line : int
        Line of the file, counting the header as line 1.
    """

    code = "invalid_row"

    def __init__(self, file: str, line: int, column: str, reason: str) -> None:
        self.file, self.line, self.column, self.reason = file, line, column, reason
        place = f"{file}, line {line}" + (f', column "{column}"' if column else "")
        super().__init__(f"{place}: {reason}", field=f"{file}:{line}:{column}")


class SourceError(InvalidInputError):
    """A source cannot be reached, or has not what its document says; ``field`` names the part."""

    code = "source_unusable"


class RecordError(InvalidInputError):
    """A file that should hold an experiment's records does not."""

    code = "invalid_record"


class SealBrokenError(StateError):
    """The rule in the flag is not the one that the experiment wrote."""

    code = "seal_broken"


class PendingError(StateError):
    """The worker has not computed yet what is needed; it does so within seconds."""

    code = "pending"
    retry_after_seconds = 1


class ForecastPendingError(PendingError):
    """The worker has not forecast the present plan yet."""

    code = "forecast_pending"

    def __init__(self) -> None:
        super().__init__(
            "the forecast of this plan is being computed",
            hint="try again in a few seconds; if it stays away, no worker is running, and nothing "
            "starts unprotected",
        )


class TrialPendingError(PendingError):
    """The worker has not tried these rules of a policy yet."""

    code = "trial_pending"

    def __init__(self) -> None:
        super().__init__(
            "how often this policy errs is being computed",
            hint="try again in a few seconds; if it stays away, no worker is running",
        )


class NotFeasibleError(StateError):
    """The forecast speaks against the start, and the customer has not signed for it."""

    code = "not_feasible"


class FencedError(FlagstoneError):
    """The lease went to another worker; nothing of this tick was kept."""

    code = "fenced"
