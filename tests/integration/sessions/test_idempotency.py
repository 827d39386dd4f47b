"""Idempotency keys: an order given again finds its session, another one is a conflict."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import msgspec
import pytest

from maestro_runtime import SessionOrder, open_runtime
from maestro_runtime.errors import (
    IdempotencyConflict,
    IdempotencyKeyInvalid,
    LabelInvalid,
    SessionConflict,
)
from maestro_runtime.given import Given
from two_phases import BOUND_SECONDS, two_phases

LATE_MS = 1 << 50
"""A wall clock at which every finished session is too old."""


def order(tmp_path: Path, key: str | None = "k-1", **changes: Any) -> SessionOrder:
    plain = SessionOrder(
        two_phases(), output_dir=tmp_path / "out", idempotency_key=key, labels={"team": "payments"}
    )
    return replace(plain, **changes)


def test_the_same_key_and_input_find_the_same_session_also_after_a_restart(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        first = runtime.run(order(tmp_path))
        assert runtime.run(order(tmp_path)).session_id == first.session_id
        first.result(BOUND_SECONDS)
    with open_runtime(tmp_path / "state") as runtime:
        again = runtime.run(order(tmp_path))
        assert again.session_id == first.session_id
        assert again.result(BOUND_SECONDS).idempotency_key == "k-1"
        assert runtime.store.sessions.count() == 1
        started = next(runtime.store.events.scan(first.session_id)).data
    assert (started["idempotency_key"], started["labels"]) == ("k-1", "team=payments")


def test_another_key_is_another_session_though_all_else_is_the_same(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        ids = {
            runtime.run(order(tmp_path, key, output_dir=tmp_path / str(key))).session_id
            for key in ("k-1", "k-2", None)
        }
        same_place = runtime.run(order(tmp_path, "k-3", output_dir=tmp_path / "k-1")).session_id

    assert len(ids | {same_place}) == 4


def test_another_input_under_a_key_is_a_conflict_that_says_what_differs(tmp_path: Path) -> None:
    others: dict[str, dict[str, Any]] = {
        "contract 'note': name changed": {
            "team": msgspec.structs.replace(
                two_phases(),
                contracts=(
                    msgspec.structs.replace(two_phases().contracts[0], name="other"),
                    two_phases().contracts[1],
                ),
            )
        },
        "the labels 'team=payments', got 'team=search'": {"labels": {"team": "search"}},
        "the output directory": {"output_dir": tmp_path / "elsewhere"},
        "the name 's2'": {"session_id": "s2"},
    }
    with open_runtime(tmp_path / "state") as runtime:
        runtime.run(order(tmp_path)).result(BOUND_SECONDS)
        for text, changes in others.items():
            expected = text.replace("the output directory", "output directory")
            with pytest.raises(IdempotencyConflict, match=expected):
                runtime.run(order(tmp_path, **changes))

        assert runtime.store.sessions.count() == 1
    assert not (tmp_path / "elsewhere").exists()


def test_another_start_under_a_key_is_a_conflict_that_says_what_differs(tmp_path: Path) -> None:
    given = Given({"note.md": b"by hand"})
    late = order(tmp_path, start_at="check", given=given)
    with open_runtime(tmp_path / "state") as runtime:
        runtime.run(late).result(BOUND_SECONDS)
        assert runtime.run(late).report().state == "done"
        with pytest.raises(IdempotencyConflict, match="with the first phase 'check', got ''"):
            runtime.run(replace(late, start_at=None, given=Given()))
        with pytest.raises(IdempotencyConflict, match="with given files of the digest"):
            runtime.run(replace(late, given=Given({"note.md": b"by another hand"})))


def test_a_named_session_is_not_found_by_a_key_it_has_not(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        runtime.run(order(tmp_path, None, session_id="s1")).result(BOUND_SECONDS)

        with pytest.raises(SessionConflict, match="started with the idempotency key '', got 'k-1'"):
            runtime.run(order(tmp_path, session_id="s1"))


def test_a_key_is_free_again_once_its_session_is_gone(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        first = runtime.run(order(tmp_path))
        first.result(BOUND_SECONDS)
        assert runtime.store.retain(LATE_MS) == [first.session_id]

        other = runtime.run(order(tmp_path, session_id="other"))

        assert other.session_id == "other"
        assert other.result(BOUND_SECONDS).state == "done"


def test_callers_at_once_with_one_key_get_one_session(tmp_path: Path) -> None:
    callers = 6
    barrier = Barrier(callers)

    with open_runtime(tmp_path / "state") as runtime, ThreadPoolExecutor(callers) as pool:

        def run(_number: int) -> str:
            barrier.wait(BOUND_SECONDS)
            return runtime.run(order(tmp_path)).session_id

        ids = set(pool.map(run, range(callers)))

    assert len(ids) == 1


def test_a_key_finds_its_session_though_its_team_was_changed_since(tmp_path: Path) -> None:
    """Who repeats an order need not know what others have decided about its session."""
    team = two_phases(script=("permanent",), give_up_on_failure=False)
    changed = msgspec.structs.replace(team, requirement="three notes")
    first = order(tmp_path, team=team)
    with open_runtime(tmp_path / "state") as runtime:
        session = runtime.run(first)
        session.result(BOUND_SECONDS)
        runtime.resume(session.session_id, team=changed, accept_changes=True).result(BOUND_SECONDS)

        assert runtime.run(first).session_id == session.session_id
        assert runtime.run(order(tmp_path, team=changed)).session_id == session.session_id
        assert session.report().requirement == "three notes"


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 129, "a\nb", "\x00", "\u200b"])
def test_what_is_no_key_is_refused(tmp_path: Path, key: str) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        with pytest.raises(IdempotencyKeyInvalid, match="must have 1 to 128 printable"):
            runtime.run(order(tmp_path, key))
        with pytest.raises(LabelInvalid):
            runtime.run(order(tmp_path, labels={"": "x"}))

        assert runtime.store.sessions.count() == 0
