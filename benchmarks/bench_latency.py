"""How long does one durable attempt take, alone, one after another?

Ours: a session with one slot; the time from the durable end of an attempt to that of the next one.
Tasks that do not wait for each other: the end of one and the beginning of the next share a commit.
Beside it: one raw LMDB commit of everything the two transitions of an attempt have written.
"""

import itertools

from measure import Options, interleaved, percentile
from noop_session import noop_sessions, team_of
from recording import Put, Recording, replay
from row import Row, Target


def measure(options: Options) -> list[Row]:
    """Measure p50 and p99 in milliseconds."""
    count = options.count(1_000, least=3)
    recording = Recording()
    merged: list[list[Put]] = []
    with options.scratch() as directory, noop_sessions(directory) as sessions:

        def ours() -> list[float]:
            with recording.listening():
                _, ended_at = sessions.run(team_of(count, 1))
            merged[:] = recording.attempts(count)
            return [later - earlier for earlier, later in itertools.pairwise(ended_at)]

        def bare() -> list[float]:
            with options.scratch() as fresh:
                return replay(fresh, merged)

        samples = interleaved(options.rounds, {"ours": ours, "bare": bare})
    return [
        Row(
            question=f"durable attempt alone, {name}",
            unit="ms",
            ours=[percentile(sample, share) * 1000 for sample in samples["ours"]],
            beside="one raw LMDB commit",
            theirs=[percentile(sample, share) * 1000 for sample in samples["bare"]],
            target=Target("at most", 3),
        )
        for name, share in (("p50", 0.5), ("p99", 0.99))
    ]
