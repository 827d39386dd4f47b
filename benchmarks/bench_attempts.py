"""How many complete durable attempts a second, 1 to 10,000 of them at the same time?

Ours: one session of tasks whose engine does nothing. An attempt is admitted by breaker and
accountant, opened (task, attempt, call, budget, event: one transition), run once that is durable,
settled and judged (the same, and hour of usage, manifest: another transition), and its session goes
on. The contracts owe no files, so no check looks at any.

The peers make the same two durable steps for an attempt: one that says that it begins, before
anything is run or spent, and one with its result. They keep neither budgets nor breaker nor
history with them. A fast run asks them for fewer at once than us.

DBOS (SQLite, PostgreSQL): workflows on its executor's threads, up to 64 at the same time, each with
20 durable steps or more: one transaction for each step, and two for each workflow. In a process of
its own.

LangGraph (asynchronous SQLite saver, `durability="sync"`): as many nodes side by side in one
superstep, one commit for each node and one for each superstep's checkpoint; alone, a chain of
nodes.

Restate: invocations of 20 durable steps or more, called through its ingress; one journal entry for
each step, and some for each invocation. Its server and the service that it calls are processes of
their own, so it has more of the machine than the others.

All servers run with their defaults, which wait for the disk.

The limit: a bare loop that writes what our run wrote, in its batches, into an LMDB environment.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeAlias

from measure import Options, compare, interleaved, rate_of
from noop_session import NoopSessions, noop_sessions, team_of
from peer_dbos import open_workflows
from peer_langgraph import open_graphs
from peer_restate import open_invocations
from postgres import served_postgres
from recording import Put, Recording, replay
from row import Row, Target

Run: TypeAlias = Callable[[int, int], None]
"""Runs so many durable steps, so many of them at the same time."""

SIZES = ((1, 500), (64, 4_000), (1_000, 10_000), (10_000, 10_000))
"""At the same time; attempts of ours."""

STEPS_PER_ATTEMPT = 2
"""Durable ones, of a peer."""

FEW = {1: 300, 64: 1_280, 1_000: 1_280}
MANY = {1: 300, 64: 2_560, 1_000: 10_240}
STEPS = {
    "DBOS (SQLite)": FEW,
    "DBOS (PostgreSQL)": FEW,
    "LangGraph (SQLite)": FEW,
    # It is the faster, the more of them there are.
    "Restate": MANY,
}
"""What each peer is asked for, by how many at the same time."""


def measure(options: Options) -> list[Row]:
    """Measure attempts a second beside the peers, and as a share of the limit."""
    rows: dict[int, list[Row]] = {}
    with options.scratch() as directory, noop_sessions(directory) as sessions:
        with _open_peers(options, directory) as runs:
            for wanted, attempts in SIZES:
                count = options.count(attempts)
                at_once = min(wanted, count)
                if at_once in rows:
                    # A smaller size has fewer attempts than this many at once.
                    continue
                rivals = {
                    name: _rival(runs[name], options.count(steps[wanted]), at_once)
                    for name, steps in STEPS.items()
                    if wanted in steps
                }
                rows[at_once] = compare(
                    options,
                    f"durable attempts, {at_once:,} at once",
                    "attempts/s",
                    {"ours": partial(attempts_rate, sessions, count, at_once), **rivals},
                    Target("at least", 20) if wanted > 1 and rivals else None,
                )
        limit = share_of_limit(options, sessions)
    return [*(row for group in rows.values() for row in group), limit]


@contextmanager
def _open_peers(options: Options, directory: Path) -> Iterator[dict[str, Run | None]]:
    """Start those that are installed, and lend what runs so many steps at the same time."""
    with ExitStack() as stack:
        graphs = open_graphs(options, directory)
        sqlite = stack.enter_context(open_workflows(options, f"sqlite:///{directory}/dbos.sqlite"))
        postgres = stack.enter_context(
            open_workflows(options, stack.enter_context(served_postgres(options)))
        )
        invocations = stack.enter_context(open_invocations(options))
        yield {
            "DBOS (SQLite)": None if sqlite is None else sqlite.run,
            "DBOS (PostgreSQL)": None if postgres is None else postgres.run,
            "LangGraph (SQLite)": None if graphs is None else graphs.run,
            "Restate": None if invocations is None else invocations.run,
        }


def attempts_rate(sessions: NoopSessions, count: int, at_once: int) -> float:
    """Run one session of `count` tasks; return attempts a second."""
    return count / sessions.run(team_of(count, at_once))[0]


def share_of_limit(options: Options, sessions: NoopSessions) -> Row:
    """Compare 1,000 attempts at once with the bare writing of the same."""
    count = options.count(10_000)
    recording = Recording()
    batches: list[list[Put]] = []

    def ours() -> float:
        with recording.listening():
            rate = attempts_rate(sessions, count, 1_000)
        batches[:] = recording.batches()
        return rate

    def bare() -> float:
        with options.scratch() as fresh:
            return count / sum(replay(fresh, batches))

    samples = interleaved(options.rounds, {"ours": ours, "bare": bare})
    return Row(
        question=f"the same beside the limit, {min(count, 1_000):,} at once",
        unit="attempts/s",
        ours=samples["ours"],
        beside="bare LMDB loop",
        theirs=samples["bare"],
        target=Target("at least", 1 / 3),
        note=f"{len(batches)} commits",
    )


def _rival(run: Run | None, steps: int, at_once: int) -> Callable[[], float] | None:
    if run is None:
        return None
    width = min(steps, at_once)
    # LangGraph's supersteps are all of the same width.
    whole = steps // width * width
    return lambda: rate_of(whole // STEPS_PER_ATTEMPT, lambda: run(whole, width))
