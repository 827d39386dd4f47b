"""What a provider has billed is booked exactly once, wherever the runtime is killed."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import doomed
import forked
from billing_server import BillingServer, Moment, billing
from maestro_runtime.statements.personas import persona_tokens
from maestro_storage import Store, verify
from maestro_storage.records import CallRecord

SESSION = "doomed"
COMMITS_MAX = 30
RESERVED = 100

TEAM = """
[team]
name = "billed"
requirement = "two notes"
[defaults]
engine = "billed"
backoff_seconds = 0.0
backoff_max_seconds = 0.0
options = {{ socket = {socket}, fails_first = {{ b = 1 }} }}
[personas.dev]
[[phases]]
name = "one"
[[contracts]]
id = "a"
name = "A"
phase = "one"
provider_persona_id = "dev"
deliverables = [{{ name = "file", artifacts = ["a.txt"] }}]
[[contracts]]
id = "b"
name = "B"
phase = "one"
provider_persona_id = "dev"
deliverables = [{{ name = "file", artifacts = ["b.txt"] }}]
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BillingServer]:
    with billing(tmp_path) as started:
        yield started


def run(directory: Path, server: BillingServer, when: str = "never", number: int = 0) -> int:
    """Run the team, or take it up, and kill it at a commit if asked; return the exit code."""
    directory.mkdir(exist_ok=True)
    team = directory / "team.toml"
    team.write_text(TEAM.format(socket=json.dumps(str(server.socket))))
    places = str(team), str(directory / "state"), str(directory / "output")
    code = forked.run(doomed.main, *places, when, str(number))
    assert code in (0, -signal.SIGKILL)
    return code


def check_books(directory: Path, server: BillingServer) -> list[CallRecord]:
    """Check each row of the ledger against the bills; return the lost ones."""
    assert verify(directory / "state").intact
    with Store.inspect(directory / "state") as store:
        rows = list(store.calls.scan(SESSION))
        (persona,) = persona_tokens(store, SESSION)
        cells = list(store.usage.scan())
        assert {task.state for task in store.tasks.scan(SESSION)} == {"done"}
        used = sum(task.tokens_used for task in store.tasks.scan(SESSION))
    bills = {bill.call_id: (bill.input_tokens, bill.output_tokens) for bill in server.bills()}
    assert len(bills) == len(server.bills()), "a call was billed twice"
    by_id = {row.call_id.hex(): row for row in rows}
    assert set(bills) <= set(by_id), "a bill is in no row"
    lost = [row for row in rows if row.state == "lost"]
    for call_id, row in by_id.items():
        if row in lost:
            assert (row.input_tokens, row.basis) == (row.reserved_tokens, "reserved")
        else:
            assert row.state == "settled"
            assert (row.input_tokens, row.output_tokens) == bills.get(call_id, (0, 0))
    booked = sum(row.input_tokens + row.output_tokens for row in rows)
    assert booked == used == persona.spent_tokens
    assert booked == sum(cell.input_tokens + cell.output_tokens for cell in cells)
    assert persona.lost_tokens == RESERVED * len(lost)
    assert sum(cell.lost_calls for cell in cells) == len(lost)
    if not lost:
        assert booked == sum(sum(bill) for bill in bills.values())
    return lost


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_commit_leaves_the_sum_of_the_ledger_that_of_the_bills(
    tmp_path: Path, when: str
) -> None:
    for number in range(1, COMMITS_MAX):
        directory = tmp_path / str(number)
        directory.mkdir()
        with billing(directory) as server:
            code = run(directory, server, when, number)
            if code == 0:
                break
            assert run(directory, server) == 0
            assert check_books(directory, server) == []

    # Three attempts with an opening and an end each, and the beginning and the end of the session.
    assert 8 < number < COMMITS_MAX


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("moment", ["received", "billed", "answered"])
def test_a_kill_around_a_request_books_its_bill_or_lists_the_call_as_lost(
    tmp_path: Path, server: BillingServer, moment: Moment, number: int, tells: bool
) -> None:
    server.arm(moment, number, tells=tells)
    directory = tmp_path / "run"
    assert run(directory, server) == -signal.SIGKILL

    assert run(directory, server) == 0

    lost = check_books(directory, server)
    assert tells <= (not lost)
    # Both tasks may have been at work, and an answer that was sent may have been booked.
    least = 0 if tells or moment == "answered" else 1
    assert least <= len(lost) <= (0 if tells else 2)


def test_a_call_that_is_lost_twice_in_a_row_is_booked_once_for_each_attempt(
    tmp_path: Path, server: BillingServer
) -> None:
    directory = tmp_path / "run"
    for _ in range(2):
        server.arm("billed", 1, tells=False)
        assert run(directory, server) == -signal.SIGKILL
    server.arm("never", tells=False)

    assert run(directory, server) == 0

    assert 2 <= len(check_books(directory, server)) <= 4
