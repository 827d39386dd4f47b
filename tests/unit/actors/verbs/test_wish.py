import msgspec
from msgspec import msgpack

from maestro_actors.verbs.wish import Asked, paused, wished
from maestro_storage.records import SessionRecord

SESSION = SessionRecord(
    session_id="s-1",
    state="running",
    team_name="t",
    team=b"",
    output_dir="/out",
    input_dir=None,
    created_ms=1,
    updated_ms=1,
    wish="pause",
    wish_deadline_ms=5,
)


def test_a_session_that_pauses_has_its_wish_and_says_why() -> None:
    draft = paused(SESSION, "asked by ann", 9, 3)

    (change,) = draft.changes
    assert change.body is not None
    after = msgpack.decode(change.body, type=SessionRecord)
    assert (after.state, after.wish, after.wish_deadline_ms) == ("paused", "run", None)
    assert (after.pause_reason, after.updated_ms, after.epoch) == ("asked by ann", 9, 3)
    (event,) = draft.events
    assert (event.kind, event.data) == ("session_paused", {"reason": "asked by ann"})


def test_a_reason_is_kept_as_far_as_it_can_be() -> None:
    running = msgspec.structs.replace(SESSION, wish="run")
    for reason, kept in (("x" * 201, "x" * 200), ("\udcff", "?")):
        after, draft = wished(running, Asked(wish="pause", reason=reason), 9, 3)

        assert after.pause_reason == kept
        assert draft.events[0].data["reason"] == kept
