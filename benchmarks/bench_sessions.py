"""Does a step of a long session cost more than one at its beginning, in time and in bytes?

Steps: one session of tasks, one after another; the time of a step and the bytes that it writes,
around step 100 and 1,000, beside those around step 10 of the same session. Bytes are those of the
keys and values of the recorded commits, because LMDB's file grows in pages.

Conversation: 100 calls, each of which sends all that was said before and one more message, up to
200,000 tokens (4 bytes each). Ours: each call is a transition that keeps all messages sent as
payloads, stored once. Beside it LangGraph's SQLite saver, with the messages as a channel of the
state. Bytes are those in use in the file, beside those of the unique messages.
"""

import itertools
import random
import time
from pathlib import Path

from maestro_storage import Store
from maestro_storage.transition import Event, Transition
from measure import Options, interleaved, percentile
from noop_session import noop_sessions, team_of
from peer_langgraph import open_graphs
from recording import Recording
from row import Row, Target

CALLS = 100
CONVERSATION_BYTES = 200_000 * 4
STEPS = (100, 1_000)
FIRST = 10
SPREAD = 25
"""The figure of a step is the lower quartile of those up to so many before and after it: what
disturbs the disk for a while only ever adds."""


def measure(options: Options) -> list[Row]:
    """Measure the cost of late steps beside early ones, and a growing conversation."""
    return [*_steps(options), *_conversation(options)]


def _steps(options: Options) -> list[Row]:
    steps = sorted({options.count(number, least=FIRST) for number in STEPS} - {FIRST}) or [FIRST]
    count = options.count(STEPS[-1], least=FIRST) + SPREAD
    recording = Recording()
    with options.scratch() as directory, noop_sessions(directory) as sessions:

        def session() -> tuple[list[float], list[float]]:
            with recording.listening():
                _, ended_at = sessions.run(team_of(count, 1))
            step_bytes = [
                float(sum(len(put.key) + len(put.value) for put in puts))
                for puts in recording.attempts(count)
            ]
            pairs = itertools.pairwise(ended_at)
            return [(later - earlier) * 1e3 for earlier, later in pairs], step_bytes

        samples = interleaved(options.rounds, {"ours": session})["ours"]
    return [
        Row(
            question=f"{what} of step {number:,}",
            unit=unit,
            ours=[_around(sample[place], number) for sample in samples],
            beside=f"ours, step {FIRST}",
            theirs=[_around(sample[place], FIRST) for sample in samples],
            target=Target("at most", bound),
        )
        # Flat: time within what the disk varies, bytes within the digits of a number.
        for place, (what, unit, bound) in enumerate(
            (("time", "ms", 1.25), ("bytes", "bytes", 1.02))
        )
        for number in steps
    ]


def _around(values: list[float], step: int) -> float:
    return percentile(values[max(0, step - SPREAD) : step + SPREAD], 0.25)


def _conversation(options: Options) -> list[Row]:
    calls = options.count(CALLS, least=3)
    dice = random.Random(1)  # noqa: S311 - no secret
    size = CONVERSATION_BYTES // CALLS
    # Hex digits: text that is not worth compressing and that no two messages share.
    messages = [dice.randbytes(size // 2).hex() for _ in range(calls)]
    unique_bytes = float(sum(map(len, messages)))
    with options.scratch() as parent:
        has_langgraph = open_graphs(options, parent) is not None

        def ours() -> tuple[float, float]:
            with options.scratch() as directory:
                return _converse(directory, messages)

        def langgraph() -> tuple[float, float]:
            with options.scratch() as directory:
                fresh = open_graphs(options, directory)
                assert fresh is not None
                before = time.perf_counter()
                fresh.converse(messages)
                seconds = time.perf_counter() - before
                return seconds, float(_size_bytes(fresh.database.parent))

        contestants = {"ours": ours, **({"LangGraph": langgraph} if has_langgraph else {})}
        samples = interleaved(options.rounds, contestants)
    theirs = samples.get("LangGraph", [])
    question = f"{calls} calls that resend a conversation"
    return [
        Row(
            question=f"{question}, bytes",
            unit="bytes",
            ours=[stored for _, stored in samples["ours"]],
            beside="its unique bytes",
            theirs=[unique_bytes] * len(samples["ours"]),
            target=Target("at most", 2),
        ),
        Row(
            question=f"{question}, bytes",
            unit="bytes",
            ours=[stored for _, stored in samples["ours"]],
            beside="LangGraph (SQLite)",
            theirs=[stored for _, stored in theirs],
        ),
        Row(
            question=f"{question}, time of a call",
            unit="ms",
            ours=[seconds / calls * 1e3 for seconds, _ in samples["ours"]],
            beside="LangGraph (SQLite)",
            theirs=[seconds / calls * 1e3 for seconds, _ in theirs],
        ),
    ]


def _converse(directory: Path, messages: list[str]) -> tuple[float, float]:
    """Make one transition for each call; return the seconds, and the bytes stored."""
    with Store.open(directory / "state") as store:
        empty_bytes = store.info().used_bytes
        before = time.perf_counter()
        for call in range(1, len(messages) + 1):
            draft = Transition()
            for message in messages[:call]:
                draft.payload("talk", message.encode())
            draft.event(Event("talk", "called", 1_000_000, data={"messages": call}))
            store.journal.commit(draft).result()
        seconds = time.perf_counter() - before
        return seconds, float(store.info().used_bytes - empty_bytes)


def _size_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())
