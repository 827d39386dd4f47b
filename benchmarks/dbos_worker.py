"""DBOS with workflows of steps that do nothing; a process knows no more than one DBOS.

`python dbos_worker.py URL` prints a line when it is launched on that database. For each line
`STEPS WORKFLOWS` it runs so many steps in so many workflows at the same time, and prints a line.
"""

import importlib
import sys

from maestro_runtime.garbage import collect_seldom


def main(url: str) -> None:
    """Launch, and run what is asked for until the input ends."""
    collect_seldom()
    dbos = importlib.import_module("dbos").DBOS
    dbos(
        config={
            "name": "bench",
            "system_database_url": url,
            "log_level": "ERROR",
            "run_admin_server": False,
        }
    )

    @dbos.step()  # type: ignore[untyped-decorator] # the module is imported by name
    def step() -> int:
        return 1

    @dbos.workflow()  # type: ignore[untyped-decorator] # as above
    def workflow(steps: int) -> None:
        for _ in range(steps):
            step()

    dbos.launch()
    print("launched", flush=True)
    for line in sys.stdin:
        steps, width = map(int, line.split())
        shares = [steps // width + (place < steps % width) for place in range(width)]
        handles = [dbos.start_workflow(workflow, share) for share in shares]
        for handle in handles:
            handle.get_result()
        print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
