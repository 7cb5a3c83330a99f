"""Decision records: what was promised, seen, decided and done, as a chain of hashes.

Every record is canonical JSON; its hash covers the hash before it. :func:`verify` recomputes the
chain and every look's decision from the stored sums, offline, and says where they differ.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from experiments.contract.document import canonical_json, sha256_of
from experiments.contract.plan import Plan
from experiments.errors import PlanError, RecordError
from experiments.machine.states import FINISHED
from experiments.models import DecisionRecord, Experiment

KINDS = ("seal", "start", "ramp", "look", "action", "end")
NO_HASH = "0" * 64

# A recomputed number may differ in the tenth digit between processors; `stats` cuts there.
_TOLERANCE = 1e-8
_NOISE = 1e-12


def engine_version() -> str:
    """Name the program that decides."""
    try:
        return f"flagstone {importlib.metadata.version('flagstone')}"
    except importlib.metadata.PackageNotFoundError:
        return "flagstone (not installed)"


def append_record(
    session: Session,
    experiment: Experiment,
    kind: str,
    body: Mapping[str, Any],
    *,
    actor: str,
    now: dt.datetime,
    sentence: str,
) -> DecisionRecord:
    """Add one link to an experiment's chain, in the caller's transaction."""
    assert experiment.id is not None, "a record belongs to a stored experiment"
    if kind not in KINDS:
        msg = f"no such kind of record: {kind}"
        raise ValueError(msg)
    last = session.exec(
        select(DecisionRecord)
        .where(DecisionRecord.experiment_id == experiment.id)
        .order_by(col(DecisionRecord.number).desc())
        .limit(1)
    ).first()
    number = 1 if last is None else last.number + 1
    previous_hash = NO_HASH if last is None else last.hash
    document = {
        "number": number,
        "kind": kind,
        "experiment": experiment.key,
        "at": now.astimezone(dt.UTC).isoformat(),
        "actor": actor,
        "plan_hash": experiment.plan_hash,
        "engine": engine_version(),
        "sentence": sentence,
        "body": body,
        "previous_hash": previous_hash,
    }
    text = canonical_json(document)
    record = DecisionRecord(
        experiment_id=experiment.id,
        number=number,
        kind=kind,
        at=now,
        document=text,
        previous_hash=previous_hash,
        hash=sha256_of(document),
    )
    session.add(record)
    session.flush()
    return record


def read_records(session: Session, experiment: Experiment) -> list[dict[str, Any]]:
    """Give the whole chain, oldest first, each with its hash."""
    rows = session.exec(
        select(DecisionRecord)
        .where(DecisionRecord.experiment_id == experiment.id)
        .order_by(sa.asc(col(DecisionRecord.number)))
    )
    return [json.loads(row.document) | {"hash": row.hash} for row in rows]


def export(experiment: Experiment, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Give the document that ``flagstone verify`` reads."""
    return {
        "experiment": {
            "key": experiment.key,
            "flag": experiment.flag_key,
            "state": experiment.state,
            "verdict": experiment.verdict,
            "plan_hash": experiment.plan_hash,
        },
        "records": [dict(record) for record in records],
    }


@dataclass(frozen=True)
class Difference:
    """One place where a record is not what it should be."""

    record: int
    path: str
    stored: Any
    recomputed: Any

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"record {self.record}, {self.path}: stored {_short(self.stored)}, "
            f"recomputed {_short(self.recomputed)}"
        )


@dataclass(frozen=True)
class VerifyResult:
    """What the verifier found.

    Parameters
    ----------
    records, looks : int
        How many records were read, and how many decisions computed again.
    complete : bool
        Whether the chain reaches an end: without one the experiment runs on, or the file was cut.
    differences : tuple of Difference
        Empty when everything is identical.
    """

    records: int
    looks: int
    complete: bool
    differences: tuple[Difference, ...]

    @property
    def identical(self) -> bool:
        """Tell whether chain and decisions were found as stored."""
        return not self.differences

    @property
    def sentence(self) -> str:
        """Say the result in one sentence."""
        if not self.identical:
            return f"DIFFERENT at {self.differences[0]}."
        end = "" if self.complete else " The chain has no end yet."
        return f"Identical: {self.records} records, {self.looks} looks decided again.{end}"


def verify(document: Any) -> VerifyResult:
    """Recompute the chain and every look's decision of an exported record.

    Parameters
    ----------
    document : mapping
        ``{"experiment": …, "records": […]}`` as exported.

    Raises
    ------
    RecordError
        If the document is not an exported record at all.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("records"), list):
        raise RecordError(
            "this is not an exported record", hint='{"experiment": {…}, "records": […]}'
        )
    records = document["records"]
    if not records or not all(isinstance(record, Mapping) for record in records):
        raise RecordError("the file holds no records", field="records")
    differences = [*_check_chain(records), *_check_head(document, records)]
    looks = 0
    try:
        for found in _check_looks(records):
            if found is None:
                looks += 1
            else:
                differences.append(found)
    except (KeyError, TypeError, AttributeError, ValueError, PlanError) as error:
        number = records[min(looks, len(records) - 1)].get("number", 0)
        differences.append(
            Difference(int(number or 0), "body", "unreadable", f"{type(error).__name__}: {error}")
        )
    complete = _ends(records)
    return VerifyResult(len(records), looks, complete, tuple(differences))


def _ends(records: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether the chain reaches an end that nothing went on from."""
    for record in reversed(records):
        if record.get("kind") == "end":
            return True
        body = record.get("body")
        state = body.get("state") if isinstance(body, Mapping) else None
        if state is not None and state not in FINISHED:
            return False
    return False


def _check_chain(records: Sequence[Mapping[str, Any]]) -> Iterator[Difference]:
    previous = NO_HASH
    for i, record in enumerate(records, start=1):
        stored = record.get("hash")
        if record.get("number") != i:
            yield Difference(i, "number", record.get("number"), i)
        if record.get("previous_hash") != previous:
            yield Difference(i, "previous_hash", record.get("previous_hash"), previous)
        recomputed = sha256_of({k: v for k, v in record.items() if k != "hash"})
        if stored != recomputed:
            yield Difference(i, "hash", stored, recomputed)
        previous = str(stored)


def _check_head(
    document: Mapping[str, Any], records: Sequence[Mapping[str, Any]]
) -> Iterator[Difference]:
    """Hold the head of the file, which nobody hashed, against the chain."""
    sealed = next((r for r in records if r.get("kind") == "seal"), None)
    body = sealed.get("body") if sealed is not None else None
    plan = body.get("plan") if isinstance(body, Mapping) else None
    if sealed is None or not isinstance(plan, Mapping):
        return
    recomputed = sha256_of(plan)
    for record in records[records.index(sealed) :]:
        if record.get("plan_hash") != recomputed:
            yield Difference(
                int(record.get("number") or 0), "plan_hash", record.get("plan_hash"), recomputed
            )
    head = document.get("experiment")
    if not isinstance(head, Mapping):
        return
    true_head = {
        "key": sealed.get("experiment"),
        "flag": plan.get("flag"),
        "plan_hash": recomputed,
        **_moved_to(records),
    }
    for name, value in true_head.items():
        if name in head and head[name] != value:
            yield Difference(0, f"experiment.{name}", head[name], value)


def _moved_to(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Give state and verdict of the last record that moved anything (words alone move nothing)."""
    for record in reversed(records):
        body = record.get("body")
        if isinstance(body, Mapping) and "state" in body:
            return {name: body[name] for name in ("state", "verdict") if name in body}
    return {}


def _check_looks(records: Sequence[Mapping[str, Any]]) -> Iterator[Difference | None]:
    # Here and not above: reading and writing records needs no statistics.
    from experiments.contract.parsing import parse_plan
    from experiments.judging import holdback
    from experiments.judging.looks import decide, read_look

    looks: list[Any] = []
    # Each step of shipping is decided from its own looks alone.
    stages: dict[str, list[Any]] = {}
    plan = None
    for record in records:
        if record["kind"] == "seal":
            plan = parse_plan(record["body"]["plan"])
        if record["kind"] != "look" or plan is None:
            continue
        body = record["body"]
        if "holdback" in body:
            stage = holdback.read_stage(body["holdback"])
            same = stages.setdefault(stage.since, [])
            same.append(read_look(body["look"]))
            recomputed = holdback.compare(plan, stage, same)[1]
        else:
            looks.append(read_look(body["look"]))
            recomputed = decide(plan, looks, body["dropped"]).to_document()
        checked = {"decision": (body["decision"], recomputed), **_quality_again(plan, body)}
        yield from (
            Difference(record["number"], f"body.{part}{path}", stored, again)
            for part, pair in checked.items()
            for path, stored, again in differing(*pair)
        )
        yield None


def _quality_again(plan: Plan, body: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Compute again what follows from facts about the data: how likely losses are, what rings."""
    from experiments.judging.attrition import attrition_p
    from experiments.machine.alarms import alarms_of

    quality = body.get("quality", {})
    lost, said = quality.get("attrition"), quality.get("attrition_p")
    again = None if lost is None else attrition_p(lost, plan.control)
    found: dict[str, tuple[Any, Any]] = {"quality.attrition_p": (said, again)}
    if "alarms" in body:
        counts, before = body["look"]["counts"], quality.get("imbalance_p")
        # Loudness goes by the digits of p: it tells the tiniest ones apart.
        found["alarms"] = body["alarms"], alarms_of(quality["quarantined"], counts, before, again)
    return found


def differing(stored: Any, recomputed: Any, path: str = "") -> Iterable[tuple[str, Any, Any]]:
    """Name every place where two plain documents differ."""
    if isinstance(stored, Mapping) and isinstance(recomputed, Mapping):
        for key in sorted({*stored, *recomputed}):
            yield from differing(stored.get(key), recomputed.get(key), f"{path}.{key}")
    elif isinstance(stored, list) and isinstance(recomputed, list):
        if len(stored) != len(recomputed):
            yield path, f"{len(stored)} items", f"{len(recomputed)} items"
        for i, (a, b) in enumerate(zip(stored, recomputed, strict=False)):
            yield from differing(a, b, f"{path}[{i}]")
    elif not _same(stored, recomputed):
        yield path, stored, recomputed


def _same(stored: Any, recomputed: Any) -> bool:
    if isinstance(stored, bool) or isinstance(recomputed, bool):
        return stored is recomputed
    if isinstance(stored, int | float) and isinstance(recomputed, int | float):
        return abs(stored - recomputed) <= _NOISE + _TOLERANCE * max(abs(stored), abs(recomputed))
    return bool(stored == recomputed)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 70 else text[:67] + "…"
