"""A child is killed at every boundary of every commit; its pipe tells what it acknowledged."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from maestro_storage import Store, verify

WAIT_SECONDS = 20
"""Safety net; no test waits that long unless it fails."""

COMMIT_COUNT = 4

COMMITS = """
import os, signal, sys
from maestro_storage import Store, StoreOptions, StorePorts
from maestro_storage.transition import Event, Transition

class Kill:
    def before_commit(self, number):
        if sys.argv[2:] == ["before", str(number)]:
            os.kill(os.getpid(), signal.SIGKILL)
    def after_commit(self, number):
        if sys.argv[2:] == ["after", str(number)]:
            os.kill(os.getpid(), signal.SIGKILL)

ports = StorePorts(deliver=lambda address, _: print(address), observer=Kill())
store = Store.open(sys.argv[1], options=StoreOptions(ballast_bytes=4096), ports=ports)
for number in range(1, 99):
    transition = Transition(events=[Event("s-1", "step", number), Event("s-1", "step", number)])
    transition.payload("s-1", b"content of %d" % number)
    transition.then(str(number), b"")
    store.journal.commit(transition).result()
"""

STORM = """
import sys, threading
from maestro_storage import Store, StoreOptions, StorePorts
from maestro_storage.transition import Event, Transition

ports = StorePorts(deliver=lambda address, _: sys.stdout.write(address + "\\n"))
store = Store.open(sys.argv[1], options=StoreOptions(ballast_bytes=4096), ports=ports)

def append(name):
    number = store.events.count(name)
    while True:
        number += 1
        transition = Transition(events=[Event(name, "step", number)])
        transition.then(f"{name} {number}", b"")
        store.journal.append(transition)
        if number % 50 == 0:
            store.journal.commit(Transition()).result()

for name in ("a", "b", "c"):
    threading.Thread(target=append, args=(name,), daemon=True).start()
threading.Event().wait()
"""


@pytest.mark.parametrize("number", range(1, COMMIT_COUNT + 1))
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_kill_at_a_commit_boundary_loses_nothing_acknowledged_and_tears_nothing(
    state: Path, start_child: Callable[..., subprocess.Popen[str]], side: str, number: int
) -> None:
    child = start_child(COMMITS, str(state), side, str(number))

    output, _ = child.communicate(timeout=WAIT_SECONDS)

    acknowledged = [int(line) for line in output.split()]
    durable = [*range(1, number + (side == "after"))]
    assert child.returncode == -9
    assert acknowledged == [*range(1, number)]
    assert verify(state).intact
    with Store.open(state) as store:
        events = list(store.events.scan("s-1"))
        assert [event.at_ms for event in events] == sorted(durable * 2)
        assert store.info().counts["payloads"] == len(durable)
        assert store.epoch == 2


def test_kills_under_load_lose_nothing_acknowledged(
    state: Path, start_child: Callable[..., subprocess.Popen[str]]
) -> None:
    acknowledged = {"a": 0, "b": 0, "c": 0}
    for kill_after in (1, 40, 333, 1000):
        child = start_child(STORM, str(state))
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(kill_after)]
        child.kill()
        lines += child.stdout.read().splitlines(keepends=True)
        for line in lines:
            if line.endswith("\n"):  # the last one may be cut short
                name, number = line.split()
                acknowledged[name] = int(number)

        with Store.inspect(state) as view:
            assert view.quarantined == {}
            durable = {name: view.events.count(name) for name in acknowledged}
        assert all(durable[name] >= acknowledged[name] for name in acknowledged)
