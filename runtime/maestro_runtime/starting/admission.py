"""Whether an order is that of a session on record: by its name, or by its idempotency key."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from maestro_actors.sessions.session import Particulars
from maestro_actors.team import Team
from maestro_actors.verbs.team_change import differences
from maestro_actors.versions import Version
from maestro_runtime.errors import (
    IdempotencyConflict,
    IdempotencyKeyInvalid,
    PriorityInvalid,
    SessionConflict,
    TeamChanged,
)
from maestro_runtime.labels import checked_labels
from maestro_runtime.recorded import recorded_team
from maestro_runtime.session import SessionOrder
from maestro_storage import Records
from maestro_storage.records import SESSION_FINAL, SessionRecord

KEY: Final = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]{1,128}")
"""Form of an idempotency key."""

KEYS_GONE_MAX: Final = 1024
"""So many keys of sessions that are gone may be kept, and as many as there are sessions."""

PRIORITY_MAX: Final = 100
"""Highest priority of a session; the lowest is as far below 0."""


class Admission:
    """Finds the session of an order. One caller at a time."""

    def __init__(self, store: Records) -> None:
        self._store = store
        self._sessions_by_key: dict[str, str] | None = None
        """Read when the first key is given. Only says where to look: a session may be gone."""

    @staticmethod
    def checked(order: SessionOrder) -> SessionOrder:
        """Return the order with its labels in order.

        Raises:
            LabelInvalid, IdempotencyKeyInvalid, PriorityInvalid: It breaks a rule.
        """
        if not -PRIORITY_MAX <= order.priority <= PRIORITY_MAX:
            raise PriorityInvalid(order.priority, PRIORITY_MAX)
        key = order.idempotency_key
        if key is not None and not (KEY.fullmatch(key) and key.isprintable()):
            rule = "must have 1 to 128 printable characters without blanks"
            raise IdempotencyKeyInvalid(key, rule)
        return replace(order, labels=checked_labels(order.labels))

    def find(self, order: SessionOrder, session_id: str) -> tuple[SessionRecord, Team] | None:
        """Return the session that the order means, and its team; None if there is none.

        Args:
            order: Checked, with the team that would be stored.
            session_id: What a new session would be called.

        Raises:
            IdempotencyConflict: The key belongs to a session that was started with another input.
            TeamChanged: The session has another team, and the order does not accept that.
            SessionConflict: The session was started with something else.
            SessionQuarantined: A record of the session is damaged.
        """
        record = self._with_key(order.idempotency_key)
        if record is not None:
            if record.input_digest != order.input_digest():
                self._require_same_input(record, order)
            return record, recorded_team(self._store, record)
        if session_id not in self._store.quarantined and not self._store.sessions.get(session_id):
            return None
        record = self._store.require_session(session_id)
        team = recorded_team(self._store, record)
        _require_same(record, order)
        if order.start_at is not None:
            self._require_same_start(record, order)
        if not order.accept_changes:
            require_team(record, team, order.team)
        return record, team

    def particulars(self, order: SessionOrder, versions: tuple[Version, ...]) -> Particulars:
        """Return what is noted of a session that an order starts."""
        key = order.idempotency_key
        return Particulars(
            labels=dict(order.labels),
            idempotency_key=key or "",
            input_digest=b"" if key is None else order.input_digest(),
            versions=versions,
            priority=order.priority,
        )

    def admitted(
        self, order: SessionOrder, session_id: str, is_under_way: Callable[[str], bool]
    ) -> None:
        """Note a session that an order has started; `is_under_way` knows those not durable yet."""
        known, key = self._sessions_by_key, order.idempotency_key
        if known is None or key is None:
            return
        sessions = self._store.sessions
        if len(known) > KEYS_GONE_MAX + 2 * sessions.count():
            there = {record.session_id for record in sessions.scan()}
            known = self._sessions_by_key = {
                key: name for key, name in known.items() if name in there or is_under_way(name)
            }
        known[key] = session_id

    def _with_key(self, key: str | None) -> SessionRecord | None:
        if key is None:
            return None
        if self._sessions_by_key is None:
            self._sessions_by_key = {
                record.idempotency_key: record.session_id
                for record in self._store.sessions.scan()
                if record.idempotency_key
            }
        session_id = self._sessions_by_key.get(key)
        record = None if session_id is None else self._store.sessions.get(session_id)
        return record if record is not None and record.idempotency_key == key else None

    def _require_same_input(self, record: SessionRecord, order: SessionOrder) -> None:
        """Refuse an order that says something else than the session, as it is by now, is."""
        key = order.idempotency_key or ""
        if order.session_id not in (None, record.session_id):
            raise IdempotencyConflict(key, record.session_id, f"the name {order.session_id!r}")
        try:
            _require_same(record, order)
            self._require_same_start(record, order)
            if not order.accept_changes:
                require_team(record, recorded_team(self._store, record), order.team)
        except SessionConflict as error:
            raise IdempotencyConflict(key, record.session_id, str(error)) from error

    def _require_same_start(self, record: SessionRecord, order: SessionOrder) -> None:
        """Refuse an order that starts at another phase, or with other files."""
        started = next(self._store.events.scan(record.session_id, limit=1)).data
        # Only what a caller has given comes from no session.
        phase = "" if started.get("from_session") else str(started.get("from_phase", ""))
        start_at = order.start_at or ""
        if phase != start_at:
            raise SessionConflict(record.session_id, "the first phase", phase, start_at)
        before, given = str(started.get("given", "")), order.given.name().hex()
        if before and before != given:
            what = "given files of the digest"
            raise SessionConflict(record.session_id, what, before[:12], given[:12])


def names_of(order: SessionOrder, session_id: str) -> tuple[str, ...]:
    """Return what the session of an order is looked up by, in one space of names."""
    key = order.idempotency_key
    # An id has no blanks.
    return (session_id,) if key is None else (session_id, f"key {key}")


def require_team(record: SessionRecord, stored: Team, given: Team) -> None:
    """Refuse another team.

    Raises:
        TeamChanged: It is another one.
    """
    if stored != given:
        ended_as = record.state if record.state in SESSION_FINAL else ""
        listed = tuple(map(str, differences(stored, given)))
        raise TeamChanged(record.session_id, listed, ended_as)


def _require_same(record: SessionRecord, order: SessionOrder) -> None:
    """Refuse an order of another session; what it leaves open is no difference."""
    session_id = record.session_id
    key = order.idempotency_key
    if key is not None and key != record.idempotency_key:
        raise SessionConflict(session_id, "the idempotency key", record.idempotency_key, key)
    if order.labels and dict(order.labels) != record.labels:
        before, after = _listed(record.labels), _listed(dict(order.labels))
        raise SessionConflict(session_id, "the labels", before, after)
    for what, path, known in (
        ("output directory", order.output_dir, record.output_dir),
        ("input directory", order.input_dir, record.input_dir),
    ):
        if path is not None and str(Path(path).absolute()) != known:
            raise SessionConflict(session_id, what, str(known), str(path.absolute()))


def _listed(labels: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in labels.items())
