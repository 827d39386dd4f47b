"""Checkpoints that somebody asks for: they end no phase."""

import re

from maestro_actors.messages import CheckpointTaken
from maestro_actors.receipt import Receipt, put_receipt
from maestro_actors.sessions.summary import INIT_PHASE, record_checkpoint
from maestro_actors.team import Team
from maestro_runtime.config import NAME_PATTERN
from maestro_runtime.errors import CheckpointNameInvalid
from maestro_runtime.recorded import recorded_team
from maestro_storage import Store
from maestro_storage.records import CheckpointRecord
from maestro_storage.transition import Transition


def require_name(team: Team, name: str) -> None:
    """Refuse what cannot be told from a phase or a number, or is no name.

    Raises:
        CheckpointNameInvalid: It is refused.
    """
    taken = {INIT_PHASE, *(phase.name for phase in team.phases)}
    if not re.fullmatch(NAME_PATTERN, name) or name.isdecimal() or name in taken:
        rule = f"match {NAME_PATTERN}, and be no number and no phase of the team"
        raise CheckpointNameInvalid(name, rule)


def checkpoint_at_rest(
    store: Store, session_id: str, name: str, now_ms: int, *, receipt: Receipt | None = None
) -> int:
    """Write a checkpoint of a session that nobody runs; return its number. Durable on return.

    Raises:
        CheckpointNameInvalid: The name is not one, or that of a phase.
        NotFound: There is no such session.
        SessionQuarantined: A record of it is damaged.
        StorageError: It could not be written.
    """
    session = store.require_session(session_id)
    require_name(recorded_team(store, session), name)
    last = max((row.number for row in store.checkpoints.scan(session_id)), default=0)
    number = max(last, session.checkpoints_made) + 1
    checkpoint = CheckpointRecord(
        session_id=session_id,
        number=number,
        phase=name,
        at_ms=now_ms,
        epoch=store.epoch,
        on_demand=True,
    )
    draft = Transition()
    record_checkpoint(draft, checkpoint, list(store.tasks.scan(session_id)))
    put_receipt(draft, receipt, store.epoch, CheckpointTaken(number=number))
    store.journal.commit(draft).result()
    return number
