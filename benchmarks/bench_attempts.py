"""How many complete durable attempts a second, 1 to 10,000 of them at the same time?

Ours: one session of tasks whose engine does nothing. An attempt is admitted by breaker and
accountant, opened (task, attempt, call, budget, event: one commit), run, settled and judged (the
same, and hour of usage, manifest: one commit), and its session goes on. The contracts owe no files,
so no check looks at any. Two transitions for each attempt.

The peers make the same two durable steps for an attempt: one that says that it begins, before
anything is run or spent, and one with its result. They keep neither budgets nor breaker nor
history with them. A fast run asks them for fewer at once than us.

DBOS (SQLite): workflows on its executor's threads, up to 64 at the same time, each with 20 durable
steps or more: one transaction for each step, and two for each workflow.

LangGraph (asynchronous SQLite saver, `durability="sync"`): as many nodes side by side in one
superstep, one commit for each node and one for each superstep's checkpoint; alone, a chain of
nodes.

The limit: a bare loop that writes what our run wrote, in its batches, into an LMDB environment.
"""

from collections.abc import Callable
from functools import partial

from measure import Options, compare, interleaved, rate_of
from noop_session import NoopSessions, noop_sessions, team_of
from peer_dbos import open_workflows
from peer_langgraph import open_graphs
from recording import Put, Recording, replay
from row import Row, Target

SIZES = ((1, 500, 300), (64, 4_000, 1_280), (1_000, 10_000, 1_280), (10_000, 10_000, None))
"""At the same time; attempts of ours; steps of a peer, None if it is not asked."""

STEPS_PER_ATTEMPT = 2
"""Durable ones, of a peer."""


def measure(options: Options) -> list[Row]:
    """Measure attempts a second beside the peers, and as a share of the limit."""
    rows: dict[int, list[Row]] = {}
    with (
        options.scratch() as directory,
        noop_sessions(directory) as sessions,
        open_workflows(options, directory) as workflows,
    ):
        graphs = open_graphs(options, directory)
        runs = {
            "DBOS (SQLite)": None if workflows is None else workflows.run,
            "LangGraph (SQLite)": None if graphs is None else graphs.run,
        }
        for wanted, attempts, steps in SIZES:
            count = options.count(attempts)
            at_once = min(wanted, count)
            if at_once in rows:
                # A smaller size has fewer attempts than this many at once.
                continue
            rivals = {} if steps is None else runs
            rows[at_once] = compare(
                options,
                f"durable attempts, {at_once:,} at once",
                "attempts/s",
                {
                    "ours": partial(attempts_rate, sessions, count, at_once),
                    **{
                        name: _rival(run, options.count(steps or 0), at_once)
                        for name, run in rivals.items()
                    },
                },
                Target("at least", 20) if wanted > 1 and rivals else None,
            )
        limit = share_of_limit(options, sessions)
    return [*(row for group in rows.values() for row in group), limit]


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


def _rival(
    run: Callable[[int, int], None] | None, steps: int, at_once: int
) -> Callable[[], float] | None:
    if run is None:
        return None
    width = min(steps, at_once)
    # LangGraph's supersteps are all of the same width.
    whole = steps // width * width
    return lambda: rate_of(whole // STEPS_PER_ATTEMPT, lambda: run(whole, width))
