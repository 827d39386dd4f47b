"""A session whose records no coordinator can work with, though each of them is intact."""

import msgspec

from maestro_storage import Store
from maestro_storage.transition import Transition

REASON = (
    "set aside: its coordinator failed 3 times without progress: "
    "NotFound: no such phase: '{session_id}/nowhere'"
)
"""Why it is paused."""


def poison(store: Store, session_id: str) -> None:
    """Have each coordinator of a session fail at its start; durable on return."""
    _rerun_from(store, session_id, "nowhere")


def cure(store: Store, session_id: str) -> None:
    """Take that back."""
    _rerun_from(store, session_id, "")


def _rerun_from(store: Store, session_id: str, phase: str) -> None:
    draft = Transition()
    draft.put(msgspec.structs.replace(store.require_session(session_id), rerun_from=phase))
    store.journal.commit(draft).result()
