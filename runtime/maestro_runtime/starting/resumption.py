"""What a session that goes on has to know first: another team, or engines that have changed."""

from typing import NamedTuple

import msgspec

from maestro_actors.errors import TeamChangeRefused
from maestro_actors.messages import encode
from maestro_actors.sessions.plan import recorded_phases
from maestro_actors.team import Persona, Team
from maestro_actors.verbs.team_change import Progress, change_transition
from maestro_actors.versions import Version
from maestro_runtime.reports.session import session_versions
from maestro_storage import Store
from maestro_storage.plan import Plan
from maestro_storage.records import SESSION_FINAL, SessionRecord
from maestro_storage.transition import Event, Transition


class Footing(NamedTuple):
    """What a session goes on with."""

    team: Team
    versions: tuple[Version, ...]
    """Of that team, as they are now."""
    plan: Plan
    """What it runs; empty for everything."""


def require_open(record: SessionRecord) -> None:
    """Refuse another team for a session that has ended.

    Raises:
        TeamChangeRefused: It has.
    """
    if record.state in SESSION_FINAL:
        raise TeamChangeRefused(record.session_id, f"it is {record.state}")


def note_changes(
    store: Store, record: SessionRecord, before: Team, footing: Footing, now_ms: int
) -> None:
    """Write down with what a session goes on, if that is not what it has had; durable on return.

    All of it is one transition: the team, the tasks that come and go with it, the versions, and
    what the history says of them.

    Args:
        store: Has the session.
        record: Of a session that has not ended and that nobody runs.
        before: Its team.
        footing: What it goes on with; the same team if that has not changed.
        now_ms: Wall clock.

    Raises:
        TeamChangeRefused: What has ended would change with the team, the plan cannot be kept, the
            session is to run again from a phase that is gone, or a new phase has the name of a
            checkpoint that was taken on demand.
        StorageError: It could not be written.
    """
    after, versions, _ = footing
    draft, changed = Transition(), record
    if after != before:
        changed, draft = _change_team(store, record, before, footing, now_ms)
    known = session_versions(store, record)
    if versions != known:
        for persona_id in _moved_engines(known, versions, before, after):
            draft.event(_engine_changed(record.session_id, after.personas[persona_id], now_ms))
        noted = draft.payload(record.session_id, encode(versions))
        changed = msgspec.structs.replace(changed, versions=noted, epoch=store.epoch)
        if record.versions is not None:
            draft.release(record.session_id, record.versions)
    if changed is not record:
        draft.put(changed)
        store.journal.commit(draft).result()


def _change_team(
    store: Store, record: SessionRecord, before: Team, footing: Footing, now_ms: int
) -> tuple[SessionRecord, Transition]:
    """Return the session with another team, and the transition that makes it so."""
    session_id, after = record.session_id, footing.team
    if record.rerun_from not in ("", *(phase.name for phase in after.phases)):
        reason = f"it is about to run again from phase {record.rerun_from!r}"
        raise TeamChangeRefused(session_id, reason)
    _require_free_names(store, session_id, before, after)
    return change_transition(
        record,
        before,
        after,
        Progress(
            tasks={task.task_id: task for task in store.tasks.scan(session_id)},
            tried={attempt.task_id for attempt in store.attempts.scan(session_id)},
            recorded=set(recorded_phases(store.checkpoints.scan(session_id))),
            plan=footing.plan,
        ),
        now_ms=now_ms,
        epoch=store.epoch,
    )


def _engine_changed(session_id: str, persona: Persona, now_ms: int) -> Event:
    return Event(
        session_id,
        "engine_changed",
        now_ms,
        data={"persona_id": persona.persona_id, "engine": persona.engine},
    )


def _require_free_names(store: Store, session_id: str, before: Team, after: Team) -> None:
    """Refuse a new phase with the name of a checkpoint: both are found by it."""
    new = {phase.name for phase in after.phases} - {phase.name for phase in before.phases}
    for record in store.checkpoints.scan(session_id):
        if record.on_demand and record.phase in new:
            reason = f"phase {record.phase!r} has the name of checkpoint {record.number}"
            raise TeamChangeRefused(session_id, reason)


def _moved_engines(
    known: tuple[Version, ...], versions: tuple[Version, ...], before: Team, after: Team
) -> list[str]:
    """Return the personas whose engine is another one, though the team says the same of them."""
    digests = {version.name: version.digest for version in known if version.kind == "engine"}
    return [
        version.name
        for version in versions
        if version.kind == "engine"
        and digests.get(version.name, version.digest) != version.digest
        and before.personas.get(version.name) == after.personas[version.name]
    ]
