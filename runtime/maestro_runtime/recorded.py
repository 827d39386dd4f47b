"""What a record only refers to."""

from maestro_actors.team import Team, decode_team
from maestro_storage import Records
from maestro_storage.records import SessionRecord


def recorded_team(store: Records, session: SessionRecord) -> Team:
    """Return the team of a session on record, as it goes on with it."""
    return decode_team(store.payloads.require(session.team))
