"""What do idle personas weigh, how fast do they start, and do they slow down one that is asked?

Ours: personas that wait for a slot, on one lane. Beside them: Pykka's `ThreadingActor` with nothing
in it, fewer of them, because each takes a thread. Each figure comes from a process of its own. An
ask is answered by one of the actors while the others are idle; its latency is the median of some,
and stands beside that of an ask to an actor that is alone. Bytes are resident memory.
"""

import gc
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pykka

from maestro_actors.kernel import ActorSystem, AsyncLane, VirtualClock
from maestro_actors.messages import DeadlineReached
from maestro_actors.ports import Ports
from maestro_actors.proxy import encoded
from maestro_actors.tasks.persona import Persona as PersonaActor
from maestro_actors.tasks.task import Assignment, Task
from maestro_actors.team import Contract, Persona
from maestro_storage.records import TaskRecord
from measure import Options, in_child, interleaved, percentile, resident_bytes
from row import Row, Target

OURS = 100_000
THREADS = (1_000, 5_000, 10_000)
ASKS = 1_000

Figures = dict[str, Any]


def measure(options: Options) -> list[Row]:
    """Measure start rate, bytes each and the latency of one ask."""
    count = options.count(OURS)
    contestants: dict[str, Callable[[], Figures]] = {
        "ours": partial(in_child, "bench_idle", "personas", count),
        "alone": partial(in_child, "bench_idle", "personas", 1),
    }
    threads = sorted({options.count(most) for most in THREADS})
    for most in threads:
        contestants[_name(most)] = partial(in_child, "bench_idle", "threads", most)
    samples = interleaved(min(options.rounds, 3), contestants)
    rows = []
    for most in threads:
        theirs = samples[_name(most)]
        # A machine has only so many threads; where they end the peer has no figure.
        failed = next((sample["failed"] for sample in theirs if "failed" in sample), "")
        for what, unit, key, target in (
            ("start", "1/s", "rate", None),
            ("memory each", "bytes", "bytes", Target("at most", 3 * 1024, "figure")),
        ):
            rows.append(
                Row(
                    question=f"{count:,} idle personas, {what}",
                    unit=unit,
                    ours=[sample[key] for sample in samples["ours"]],
                    beside=_name(most),
                    theirs=() if failed else [sample[key] for sample in theirs],
                    target=target,
                    note=failed,
                )
            )
    rows.append(
        Row(
            question=f"ask one of {count:,}, p50",
            unit="us",
            ours=[sample["ask_us"] for sample in samples["ours"]],
            beside="ours, alone",
            theirs=[sample["ask_us"] for sample in samples["alone"]],
            # Unchanged, as far as two processes on a busy machine can agree.
            target=Target("at most", 1.25),
        )
    )
    return rows


def _name(count: int) -> str:
    return f"{count:,} ThreadingActors"


def personas(count: int) -> Figures:
    """Spawn personas that have nothing to do, and ask the one in the middle."""
    lane = AsyncLane("bench")
    system = ActorSystem(lane, VirtualClock())
    # An idle persona asks nobody, so nobody is there.
    ports = Ports(system, None, None, None, 1)  # type: ignore[arg-type]
    assignment = Assignment("bench", "nothing", "/nowhere", None, 0, 1)
    persona = Persona(persona_id="dev")

    def spawn(place: int) -> pykka.ActorRef[PersonaActor]:
        contract = Contract(id=f"c{place}", name="c", phase="only", provider_persona_id="dev")
        record = TaskRecord(
            session_id="bench",
            task_id=contract.id,
            phase="only",
            persona_id="dev",
            engine="rehearsal",
            state="queued",
            waits_for="slot",
        )
        task = Task(assignment, persona, contract)
        return system.spawn(PersonaActor, ports, task, record, address=task.address)

    # Out of date for a persona that waits for its slot: it is decoded and passed over.
    figures = _weigh(count, spawn, encoded(DeadlineReached()))
    lane.close()
    return figures


def threads(count: int) -> Figures:
    """Start actors with a thread each, and ask the one in the middle."""
    figures = _weigh(count, lambda _place: _Idle.start(), 1)
    pykka.ActorRegistry.stop_all(block=False)
    return figures


class _Idle(pykka.ThreadingActor):
    use_daemon_thread = True

    def on_receive(self, message: object) -> None:
        """Answer with nothing."""


def _weigh(count: int, start: Callable[[int], pykka.ActorRef[Any]], message: object) -> Figures:
    gc.collect()
    before_bytes = resident_bytes()
    before = time.perf_counter()
    try:
        refs = [start(place) for place in range(count)]
    except RuntimeError as error:
        return {"failed": f"{count:,} actors: {error}"}
    seconds = time.perf_counter() - before
    gc.collect()
    grown_bytes = resident_bytes() - before_bytes
    # As a long-lived process would: what stays is not looked at again and again.
    gc.freeze()
    chosen = refs[count // 2]
    latencies = []
    for _ in range(ASKS):
        before = time.perf_counter()
        chosen.ask(message)
        latencies.append(time.perf_counter() - before)
    return {
        "rate": count / seconds,
        "bytes": grown_bytes / count,
        "ask_us": percentile(latencies, 0.5) * 1e6,
    }


if __name__ == "__main__":
    made = {"personas": personas, "threads": threads}[sys.argv[1]](int(sys.argv[2]))
    print(json.dumps(made))
