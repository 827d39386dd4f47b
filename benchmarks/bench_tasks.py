"""How many tasks a second does one session finish, and what does an idle persona weigh?

Runs one session of tasks whose `python` engine does nothing, on a real state directory with real
fsync, and then spawns personas that wait. A baseline, not a test: run it beside another version.
"""

import argparse
import gc
import json
import os
import platform
import resource
import statistics
import tempfile
import threading
import time
from pathlib import Path

from maestro_actors.kernel import ActorSystem, AsyncLane, VirtualClock
from maestro_actors.persona import Persona as PersonaActor
from maestro_actors.ports import Ports
from maestro_actors.task import Assignment, Task
from maestro_actors.team import Contract, Persona, Phase, Team
from maestro_runtime import RuntimeOptions, SessionOrder, __version__, open_runtime
from maestro_storage.records import TaskRecord

HERE = str(Path(__file__).parent)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--fast", action="store_true", help="a tenth of the size")
    parser.add_argument("--dir", default="/var/tmp", help="where the state is made")  # noqa: S108 - not tmpfs
    options = parser.parse_args()
    scale = 10 if options.fast else 1
    figures: dict[str, float] = {}
    for workers, count in ((64, 10_000 // scale), (1_000, 10_000 // scale)):
        figures |= measure_session(Path(options.dir), count, workers)
    figures |= measure_idle(100_000 // scale)
    environment = (
        f"maestro-runtime {__version__}, Python {platform.python_version()}, "
        f"{os.cpu_count()} CPUs, Linux {platform.release()}, LMDB defaults (sync)"
    )
    if options.json:
        print(json.dumps({"environment": environment, **figures}, indent=2))
        return
    print(environment)
    for name, value in figures.items():
        print(f"{name:<44} {value:>12,.1f}")


def measure_session(parent: Path, count: int, workers: int) -> dict[str, float]:
    """Run `count` no-op tasks with `workers` slots."""
    team = Team(
        name="bench",
        requirement="nothing",
        personas={
            "dev": Persona(
                persona_id="dev", engine="python", callable="noop_engine:work", import_dir=HERE
            )
        },
        phases=(Phase(name="only"),),
        contracts=tuple(
            Contract(id=f"c{place:05d}", name="c", phase="only", provider_persona_id="dev")
            for place in range(count)
        ),
        max_parallel_workers=workers,
    )
    with tempfile.TemporaryDirectory(dir=parent) as directory:
        threads: list[int] = []
        with open_runtime(Path(directory) / "state", RuntimeOptions()) as runtime:
            runtime.subscribe(lambda _event: threads.append(threading.active_count()))
            before = time.perf_counter()
            report = runtime.run(SessionOrder(team, "bench", Path(directory) / "output")).result()
            seconds = time.perf_counter() - before
    if report.state != "done":
        raise RuntimeError(f"the session ended {report.state}: {report.error}")
    name = f"{count} tasks, {workers} workers"
    return {
        f"{name}: tasks/s": count / seconds,
        f"{name}: seconds": seconds,
        f"{name}: most threads": max(threads),
        f"{name}: median threads": statistics.median(threads),
        f"{name}: peak memory MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure_idle(count: int) -> dict[str, float]:
    """Spawn personas that have nothing to do."""
    lane = AsyncLane("bench")
    system = ActorSystem(lane, VirtualClock())
    # An idle persona asks nobody, so nobody is there.
    ports = Ports(system, None, None, None, 1)  # type: ignore[arg-type]
    assignment = Assignment("bench", "nothing", "/nowhere", None, 0, 1)
    persona = Persona(persona_id="dev")
    gc.collect()
    before_bytes = resident_bytes()
    before = time.perf_counter()
    for place in range(count):
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
        system.spawn(PersonaActor, ports, task, record, address=task.address)
    seconds = time.perf_counter() - before
    gc.collect()
    grown = resident_bytes() - before_bytes
    lane.close()
    return {
        f"{count} idle personas: started/s": count / seconds,
        f"{count} idle personas: bytes each": grown / count,
    }


def resident_bytes() -> int:
    """Return the memory this process has in use now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


if __name__ == "__main__":
    main()
