from collections.abc import Callable
from pathlib import Path

from maestro_storage import RetentionPolicy, Store, StoreOptions, verify
from maestro_storage.records import SESSION_FINAL, OutboxRecord, key_of
from maestro_storage.transition import Event, Transition, payload_digest

WAIT_SECONDS = 20
"""Safety net; no test waits that long unless it fails."""

LATE_MS = 1 << 50
"""A wall clock at which every finished session is too old."""


def test_a_finished_session_goes_whole_and_a_live_one_stays_whole(
    state: Path, open_store: Callable[..., Store], make_session: Callable[..., Transition]
) -> None:
    store = open_store()
    store.journal.append(make_session("s", "done", finished_ms=0, payload=b"own"))
    store.journal.append(make_session("s-live", "running"))
    store.journal.append(make_session("s-help", "help_needed"))
    store.journal.settle(WAIT_SECONDS)
    before = {name: store.tasks.count(name) for name in ("s-live", "s-help")}

    removed = store.retain(LATE_MS)

    assert removed == ["s"]
    assert store.sessions.count("s") == store.tasks.count("s") == store.events.count("s") == 0
    assert {name: store.tasks.count(name) for name in ("s-live", "s-help")} == before
    assert store.payloads.get(payload_digest(b"own")) is None
    store.close()
    assert verify(state).intact


def test_a_shared_payload_stays_until_its_last_session_goes(
    open_store: Callable[..., Store], make_session: Callable[..., Transition]
) -> None:
    store = open_store()
    store.journal.append(make_session("s-1", "done", finished_ms=0, payload=b"shared"))
    store.journal.append(make_session("s-2", "running", payload=b"shared"))
    store.journal.settle(WAIT_SECONDS)

    assert store.retain(LATE_MS) == ["s-1"]
    assert store.payloads.get(payload_digest(b"shared")) == b"shared"

    ended = make_session("s-2", "done", finished_ms=0, payload=b"shared")
    store.journal.commit(ended).result(WAIT_SECONDS)
    assert store.retain(LATE_MS) == ["s-2"]
    assert store.payloads.get(payload_digest(b"shared")) is None
    assert store.info().counts["references"] == 0


def test_a_session_that_came_back_to_life_is_not_removed(
    open_store: Callable[..., Store], make_session: Callable[..., Transition]
) -> None:
    """Its resumption was queued before the removal that was planned earlier."""
    store = open_store()
    store.journal.append(make_session("s-1", "failed", finished_ms=0))
    store.journal.append(make_session("s-1", "running"))

    store.journal.remove("s-1").result(WAIT_SECONDS)

    assert store.require_session("s-1").state not in SESSION_FINAL
    assert store.tasks.count("s-1") == 1


def test_a_session_that_still_has_something_to_send_is_kept(
    open_store: Callable[..., Store], make_session: Callable[..., Transition]
) -> None:
    store = open_store()
    transition = make_session("s-1", "failed", finished_ms=0)
    ticket = OutboxRecord(
        session_id="s-1",
        outbox_id="ticket",
        kind="ticket",
        state="pending",
        payload=transition.payload("s-1", b"text"),
    )
    transition.put(ticket)
    store.journal.commit(transition).result(WAIT_SECONDS)

    assert store.retain(LATE_MS) == []


def test_a_removed_session_starts_a_new_history(
    open_store: Callable[..., Store], make_session: Callable[..., Transition]
) -> None:
    store = open_store()
    store.journal.append(make_session("s-1", "done", finished_ms=0))
    store.journal.append(Transition(events=[Event("s-1", "more", 0)]))
    store.journal.remove("s-1")

    store.journal.commit(make_session("s-1")).result(WAIT_SECONDS)

    assert [event.sequence for event in store.events.scan("s-1")] == [1]


def test_retention_by_bytes_drops_the_oldest_that_do_not_fit(
    open_store: Callable[..., Store], make_session: Callable[..., Transition]
) -> None:
    policy = RetentionPolicy(bytes_max=3 << 20)
    store = open_store(StoreOptions(retention=policy, ballast_bytes=4096))
    for number in range(4):
        done = make_session(f"s-{number}", "done", finished_ms=number)
        done.payload(f"s-{number}", bytes([number]) * (1 << 20))
        store.journal.append(done)
    store.journal.settle(WAIT_SECONDS)

    assert store.retain(4) == ["s-0", "s-1"]


def test_retention_runs_when_the_store_is_opened(
    open_store: Callable[..., Store], make_session: Callable[..., Transition]
) -> None:
    store = open_store()
    store.journal.append(make_session("s-1", "cancelled", finished_ms=0))
    store.journal.append(make_session("s-2", "running"))
    store.close()

    store = open_store(now_ms=lambda: LATE_MS)

    assert [session.session_id for session in store.sessions.scan()] == ["s-2"]


def test_a_quarantined_session_is_left_for_inspection(
    open_store: Callable[..., Store], make_session: Callable[..., Transition]
) -> None:
    store = open_store()
    store.journal.commit(make_session("s-1", "done", finished_ms=0)).result(WAIT_SECONDS)
    environment = store._environment
    with environment.env.begin(write=True) as txn:
        txn.put(key_of("s-1", "task-0"), b"damaged", db=environment.databases["tasks"])
    store.close()

    store = open_store(now_ms=lambda: LATE_MS)

    assert list(store.quarantined) == ["s-1"]
    assert store.info().counts["sessions"] == 1


def test_a_released_payload_goes_with_its_last_reference(
    state: Path, open_store: Callable[..., Store], make_session: Callable[..., Transition]
) -> None:
    store = open_store()
    store.journal.append(make_session("s-1", payload=b"shared"))
    store.journal.append(make_session("s-2", payload=b"shared"))
    digest = payload_digest(b"shared")

    left = []
    for session_id in ("s-1", "s-2"):
        draft = Transition()
        draft.release(session_id, digest)
        store.journal.commit(draft).result(WAIT_SECONDS)
        left.append(store.payloads.get(digest))

    assert left == [b"shared", None]
    assert store.info().counts["references"] == 0
    store.close()
    assert verify(state).intact


def test_a_payload_that_passes_from_one_session_to_another_in_one_commit_stays(
    state: Path, open_store: Callable[..., Store], make_session: Callable[..., Transition]
) -> None:
    store = open_store()
    store.journal.append(make_session("s-1", payload=b"shared"))
    store.journal.append(make_session("s-2"))
    store.journal.settle(WAIT_SECONDS)
    draft = Transition()
    digest = draft.payload("s-2", b"shared")
    draft.release("s-1", digest)
    store.journal.commit(draft).result(WAIT_SECONDS)

    assert store.payloads.get(digest) == b"shared"
    # Two rows for each of the two payloads of the other one.
    assert store.info().counts["references"] == 4
    store.close()
    assert verify(state).intact
