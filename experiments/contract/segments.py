"""What results are also shown by: ``segments = ["country", "plan"]``. It decides nothing."""

from __future__ import annotations

from experiments.contract.document import Reader

MAX_SEGMENTS = 5
MAX_NAME_CHARACTERS = 64


def read_segments(reader: Reader, *, replayed: bool) -> tuple[str, ...]:
    """Read the names of attributes that exposures carry.

    Raises
    ------
    PlanError
        If they are no list of at most five different names, or the plan is for a replay.
    """
    given = reader.take("segments", None)
    if given is None:
        return ()
    hint = 'names of attributes that exposures carry, such as segments = ["country", "plan"]'
    if not isinstance(given, list | tuple) or not all(isinstance(each, str) for each in given):
        raise reader.fault("segments", "must be a list of names", hint)
    if replayed:
        raise reader.fault("segments", "are not read by a replay", "leave them out")
    if len(given) > MAX_SEGMENTS:
        raise reader.fault(
            "segments",
            f"are {len(given)}; at most {MAX_SEGMENTS}",
            "the more is looked at, the more must be seen before any of it counts",
        )
    for place, name in enumerate(given):
        if not 1 <= len(name) <= MAX_NAME_CHARACTERS or not name.isprintable():
            raise reader.fault(f"segments[{place}]", f"is {name!r}", "1 to 64 printable characters")
        if name[0] in "$/":
            # An engine would take it for a path into the object.
            raise reader.fault(f"segments[{place}]", f"is {name!r}", "no $ or / at its beginning")
        if name in given[:place]:
            raise reader.fault(f"segments[{place}]", f"repeats {name!r}", None)
    return tuple(given)
