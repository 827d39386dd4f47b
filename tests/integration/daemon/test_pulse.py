"""The heartbeat of a daemon does not beat for a lane or a store that hangs."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line import CommandLine
from maestro_actors.kernel import LaneActor
from maestro_runtime.daemon._pulse import Pulse
from maestro_runtime.options import RuntimeOptions
from maestro_runtime.runtime import Runtime, open_runtime
from running import BOUND_SECONDS, killed_at_the_end
from served import ServiceManager, start


class Gate:
    """Something that hangs until it is let go: a handler, or a commit."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.opened.set()

    def pass_through(self) -> None:
        self.entered.set()
        assert self.opened.wait(BOUND_SECONDS)

    def before_commit(self, _number: int) -> None:
        self.pass_through()

    def after_commit(self, _number: int) -> None:
        pass


class Hanging(LaneActor):
    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    def on_receive(self, _message: bytes) -> None:
        self._gate.pass_through()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


@pytest.fixture
def runtime(tmp_path: Path, gate: Gate) -> Iterator[Runtime]:
    with open_runtime(tmp_path / "state", RuntimeOptions(observer=gate)) as runtime:
        yield runtime
        gate.opened.set()


@pytest.mark.parametrize("what", ["lane", "store"])
def test_no_beat_comes_through_what_hangs_and_one_does_once_it_goes_on(
    runtime: Runtime, gate: Gate, what: str
) -> None:
    beats = threading.Semaphore(0)
    pulse = Pulse(runtime.system, runtime.store.journal, beats.release)
    pulse.beat()
    assert beats.acquire(timeout=BOUND_SECONDS)

    gate.opened.clear()
    gate.entered.clear()
    if what == "lane":
        runtime.system.spawn(Hanging, gate, address="urn:test:hanging")
        runtime.system.deliver("urn:test:hanging", b"hang")
        assert gate.entered.wait(BOUND_SECONDS)
    for _ in range(3):
        pulse.beat()
    assert gate.entered.wait(BOUND_SECONDS)
    assert not beats.acquire(blocking=False)

    gate.opened.set()
    assert beats.acquire(timeout=BOUND_SECONDS)
    # The two beats that found one under way were never sent.
    assert not beats.acquire(blocking=False)


def test_the_watchdog_is_fed_at_a_third_of_its_interval_while_a_daemon_works(
    cli: CommandLine,
) -> None:
    address = str(cli.directory / "notify")
    with ServiceManager(address) as manager:
        cli.environment |= {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "300000"}
        with killed_at_the_end(start(cli)):
            manager.until("READY")
            for _ in range(3):
                manager.until("WATCHDOG")


def test_a_watchdog_that_is_meant_for_another_process_is_not_fed(cli: CommandLine) -> None:
    address = str(cli.directory / "notify")
    watchdog = {"WATCHDOG_USEC": "300000", "WATCHDOG_PID": str(os.getpid())}
    with ServiceManager(address) as manager:
        cli.environment |= {"NOTIFY_SOCKET": address, **watchdog}
        with killed_at_the_end(start(cli)) as process:
            manager.until("READY")
            process.terminate()
            process.wait(BOUND_SECONDS)
        after = manager.heard()

    assert not [message for message in after if "WATCHDOG" in message]
