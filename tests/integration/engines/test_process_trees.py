"""Every process of a call is dead when the call is answered, whatever it did to get away.

Each process holds the writing end of a named pipe, so the reading end shows when all are gone.
"""

import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from maestro_runtime.engines import guard, kill_survivors
from maestro_runtime.engines.survivors import identify

Commands = Any
Lifeline = Any

KILL_SECONDS_MAX = 30.0
"""Far more than a kill takes, however busy the machine is."""

# The inner shell is a grandchild in a session of its own, orphaned at once, deaf to SIGTERM.
RUNAWAY = """
exec 3> {path}
(setsid sh -c 'trap "" TERM HUP INT; echo ready >&3; while :; do sleep 1000; done' &)
"""


def _runaway(lifeline: Lifeline, then: str) -> str:
    return RUNAWAY.format(path=lifeline.path) + then


def test_a_child_left_in_the_background_dies_with_its_call(
    commands: Commands, lifeline: Lifeline
) -> None:
    script = f"""
    mkfifo up
    (setsid sh -c 'trap "" TERM HUP INT; exec 3> {lifeline.path}; echo ready >&3
                   echo up > up; while :; do sleep 1000; done' &)
    read word < up
    """
    outcome = commands.shell(script)

    assert outcome.failure is None
    assert lifeline.read() == b"ready\n"
    assert lifeline.read() == b""


def test_the_whole_tree_dies_at_the_time_limit(commands: Commands, lifeline: Lifeline) -> None:
    commands.submit(commands.order("sh", "-c", _runaway(lifeline, "sleep 1000"), timeout_seconds=2))
    alive = lifeline.read()
    outcome = commands.answer()

    assert alive == b"ready\n"
    assert outcome.evidence == ("call timed out: exceeded its limit of 2 s",)
    assert lifeline.read() == b""


def test_the_whole_tree_dies_when_the_call_is_cancelled(
    commands: Commands, lifeline: Lifeline
) -> None:
    order = commands.order("sh", "-c", _runaway(lifeline, "sleep 1000"))
    commands.submit(order)
    alive = lifeline.read()
    commands.host.cancel(order.call_id)
    outcome = commands.answer()

    assert alive == b"ready\n"
    assert outcome.failure == "interrupted"
    assert lifeline.read() == b""


def test_the_whole_tree_dies_when_the_host_is_closed(
    commands: Commands, lifeline: Lifeline
) -> None:
    commands.submit(commands.order("sh", "-c", _runaway(lifeline, "sleep 1000")))
    alive = lifeline.read()
    commands.host.close(grace_seconds=10)
    outcome = commands.outcomes.get_nowait()

    assert alive == b"ready\n"
    assert outcome.evidence == ("engine host was closed",)
    assert lifeline.read() == b""


def test_a_program_deaf_to_sigterm_is_killed_after_the_grace(
    make_bench: Callable[..., Commands], lifeline: Lifeline
) -> None:
    commands = make_bench(grace_seconds=0.05)
    script = f"trap '' TERM; exec 3> {lifeline.path}; echo ready >&3; while :; do sleep 1000; done"
    order = commands.order("sh", "-c", script)
    commands.submit(order)
    lifeline.read()
    commands.host.cancel(order.call_id)

    assert commands.answer().failure == "interrupted"
    assert lifeline.read() == b""


LATE = """
trap 'sleep 0.3; echo "{\\"usage\\": {\\"input_tokens\\": 9}}" > $MAESTRO_RESULT; exit 0' TERM
exec 3> PATH; echo ready >&3; sleep 1000 & wait
"""


def test_a_program_may_take_as_long_to_end_as_whoever_stops_it_says(
    make_bench: Callable[..., Commands], lifeline: Lifeline
) -> None:
    commands = make_bench(grace_seconds=0.01)
    order = commands.order("sh", "-c", LATE.replace("PATH", str(lifeline.path)))
    commands.submit(order)
    lifeline.read()
    commands.host.cancel(order.call_id, 20.0)

    assert commands.answer().usage.input_tokens == 9


@pytest.mark.parametrize(("stop_timeout_seconds", "ends"), [(20.0, True), (0.0, False)])
def test_a_command_says_how_long_it_may_take_to_end_if_nobody_else_does(
    make_bench: Callable[..., Commands],
    lifeline: Lifeline,
    stop_timeout_seconds: float,
    ends: bool,
) -> None:
    commands = make_bench(grace_seconds=0.01 if ends else 1_000)
    script = LATE.replace("PATH", str(lifeline.path))
    order = commands.order("sh", "-c", script, stop_timeout_seconds=stop_timeout_seconds)
    commands.submit(order)
    lifeline.read()
    commands.host.cancel(order.call_id)

    assert (commands.answer().usage.input_tokens == 9) == ends


def test_a_grace_that_was_given_is_cut_short_by_a_kill_and_not_by_a_second_order_to_stop(
    make_bench: Callable[..., Commands], lifeline: Lifeline
) -> None:
    commands = make_bench(grace_seconds=1_000)
    script = (
        f"trap 'echo told >&3' TERM; exec 3> {lifeline.path}; echo ready >&3\n"
        "while :; do sleep 1000 & wait; done"
    )
    order = commands.order("sh", "-c", script)
    commands.submit(order)
    lifeline.read()
    commands.host.cancel(order.call_id, 1_000.0)
    commands.host.cancel(order.call_id, 0.0)
    told = lifeline.read()
    alive = commands.host.unanswered()
    commands.host.kill(order.call_id)

    assert told == b"told\n"
    assert alive == {order.call_id}
    assert commands.answer().failure == "interrupted"


def test_closing_the_host_does_not_wait_for_a_long_grace(
    make_bench: Callable[..., Commands], lifeline: Lifeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As long as whoever waits for the grace, or for the guard, has to wait.
    monkeypatch.setattr("maestro_runtime.engines.driver.CLOSE_SECONDS_MAX", KILL_SECONDS_MAX)
    monkeypatch.setattr("maestro_runtime.engines.host.CLOSE_SECONDS", KILL_SECONDS_MAX)
    commands = make_bench(grace_seconds=1_000)
    script = f"trap '' TERM; exec 3> {lifeline.path}; echo ready >&3; while :; do sleep 1000; done"
    commands.submit(commands.order("sh", "-c", script))
    lifeline.read()
    begun_seconds = time.monotonic()
    commands.host.close(grace_seconds=0.05)
    took_seconds = time.monotonic() - begun_seconds

    assert took_seconds < KILL_SECONDS_MAX
    assert commands.outcomes.get_nowait().failure == "interrupted"
    assert lifeline.read() == b""


def test_a_polite_program_may_finish_its_last_words(commands: Commands, lifeline: Lifeline) -> None:
    script = (
        'trap \'echo "{\\"usage\\": {\\"input_tokens\\": 9}}" > $MAESTRO_RESULT; exit 0\' TERM\n'
        f"exec 3> {lifeline.path}; echo ready >&3; sleep 1000 & wait"
    )
    order = commands.order("sh", "-c", script)
    commands.submit(order)
    lifeline.read()
    commands.host.cancel(order.call_id)

    outcome = commands.answer()
    assert (outcome.usage.input_tokens, outcome.usage.basis) == (9, "provider")


# Without the marks in its environment, only its session gives it away.
UNMARKED = """
exec 3> {path}
exec env -i /bin/sh -c 'echo ready >&3; while :; do sleep 1000; done'
"""

RUNTIME = textwrap.dedent(
    """
    import sys, threading
    import msgspec
    from maestro_actors.engine import CallOrder
    from maestro_runtime.engines import EngineHost, EngineRegistry, builtin_engines

    order = msgspec.json.decode(sys.argv[1], type=CallOrder)
    host = EngineHost(EngineRegistry(builtin_engines(sys.argv[2])))

    async def started(process):
        print(process.pid, flush=True)

    host.submit(order, print, started)
    threading.Event().wait()
    """
)


@pytest.mark.parametrize(
    "script", [RUNAWAY + "sleep 1000", UNMARKED], ids=["another session", "unmarked"]
)
def test_the_whole_tree_dies_when_the_runtime_is_killed(
    commands: Commands, lifeline: Lifeline, script: str
) -> None:
    order = commands.order("sh", "-c", script.format(path=lifeline.path))
    with subprocess.Popen(
        [sys.executable, "-c", RUNTIME, msgspec.json.encode(order), commands.state_id],
        stdout=subprocess.PIPE,
    ) as runtime:
        assert runtime.stdout is not None
        # Printed when the tree is on record, so the guard knows it: before, a program that runs
        # at once and carries no marker could not be told from any other.
        assert runtime.stdout.readline()
        alive = lifeline.read()
        runtime.kill()
        runtime.wait()

        assert alive == b"ready\n"
        assert lifeline.read() == b""


def test_a_runtime_without_its_guard_leaves_survivors_for_the_next_start_to_kill(
    commands: Commands, lifeline: Lifeline
) -> None:
    order = commands.order("sh", "-c", _runaway(lifeline, "sleep 1000"))
    with subprocess.Popen(
        [sys.executable, "-c", RUNTIME, msgspec.json.encode(order), commands.state_id],
        stdout=subprocess.PIPE,
    ) as runtime:
        assert runtime.stdout is not None
        leader = identify(int(runtime.stdout.readline()))
        assert lifeline.read() == b"ready\n"
        _kill_guard_of(runtime.pid)
        runtime.kill()
        runtime.wait()

        killed = kill_survivors(commands.state_id, [leader])

        assert leader.pid in killed
        assert lifeline.read() == b""
        assert kill_survivors(commands.state_id, [leader]) == ()


def test_the_end_of_a_call_leaves_one_of_the_same_id_in_another_state_alone(
    make_bench: Callable[..., Commands], lifeline: Lifeline
) -> None:
    """Sessions of the same name make calls of the same ids."""
    here, elsewhere = make_bench(state="here"), make_bench(state="elsewhere")
    order = here.order("sh", "-c", f"exec 3> {lifeline.path}; echo ready >&3; exec sleep 1000")
    here.submit(order)
    assert lifeline.read() == b"ready\n"

    command = msgspec.structs.replace(order.persona.command, argv=("true",))
    persona = msgspec.structs.replace(order.persona, command=command)
    assert elsewhere.serve(msgspec.structs.replace(order, persona=persona)).failure is None

    assert Path(f"/proc/{here.processes.get(timeout=120).pid}").exists()
    here.host.cancel(order.call_id)
    assert here.answer().failure == "interrupted"


def test_a_survivor_on_record_that_works_for_another_state_is_left_alone(
    commands: Commands, lifeline: Lifeline
) -> None:
    script = f"exec 3> {lifeline.path}; echo ready >&3; exec sleep 1000"
    order = commands.order("sh", "-c", script)
    commands.submit(order)
    assert lifeline.read() == b"ready\n"
    leader = commands.processes.get(timeout=120)

    assert kill_survivors("a copy of the state", [leader]) == ()

    commands.host.cancel(order.call_id)
    assert commands.answer().failure == "interrupted"


def _kill_guard_of(runtime_pid: int) -> None:
    """Kill the child of the runtime that runs the guard's file; it is dead on return."""
    children = Path(f"/proc/{runtime_pid}/task")
    for task in children.iterdir():
        for pid in map(int, (task / "children").read_text().split()):
            if guard.__file__.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                guard_fd = os.pidfd_open(pid)
                try:
                    signal.pidfd_send_signal(guard_fd, signal.SIGKILL)
                    # On a busy machine its pipe takes lines for a while yet.
                    assert select.select([guard_fd], [], [], KILL_SECONDS_MAX)[0]
                finally:
                    os.close(guard_fd)
                return
    pytest.fail("the runtime has no guard")


def test_a_process_that_only_has_the_pid_of_a_survivor_is_left_alone() -> None:
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as stranger:  # noqa: S607
        identity = identify(stranger.pid)
        reused = msgspec.structs.replace(identity, start_ticks=identity.start_ticks - 1)
        rebooted = msgspec.structs.replace(identity, boot_id="another")

        assert kill_survivors("no such state", [reused, rebooted]) == ()
        assert stranger.poll() is None
        assert kill_survivors("no such state", [identity]) == (stranger.pid,)
        assert stranger.wait(timeout=120) == -signal.SIGKILL


def test_a_guard_that_was_killed_is_replaced_and_told_everything(
    commands: Commands, lifeline: Lifeline
) -> None:
    order = commands.order("sh", "-c", UNMARKED.format(path=lifeline.path))
    with subprocess.Popen(
        [sys.executable, "-c", RUNTIME_TWO_CALLS, msgspec.json.encode(order), commands.state_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as runtime:
        assert runtime.stdin is not None
        assert runtime.stdout is not None
        assert lifeline.read() == b"ready\n"
        _kill_guard_of(runtime.pid)
        runtime.stdin.write(b"go on\n")
        runtime.stdin.flush()
        assert runtime.stdout.readline() == b"second call answered\n"
        runtime.kill()
        runtime.wait()

        assert lifeline.read() == b""


RUNTIME_TWO_CALLS = RUNTIME.replace("print(process.pid, flush=True)", "pass").replace(
    "threading.Event().wait()",
    textwrap.dedent(
        """
        sys.stdin.readline()
        command = msgspec.structs.replace(order.persona.command, argv=("true",))
        persona = msgspec.structs.replace(order.persona, command=command)
        order = msgspec.structs.replace(order, persona=persona, call_id="e" * 32)
        host.submit(order, lambda outcome: print("second call answered", flush=True), started)
        threading.Event().wait()
        """
    ),
)


def test_the_guard_lets_go_of_trees_that_are_gone() -> None:
    """A session number that was given back must not be killed by its old name."""
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as stranger:  # noqa: S607
        ticks = identify(stranger.pid).start_ticks
        lines = f"+{stranger.pid} {ticks}\n-{stranger.pid}\n+{stranger.pid} {ticks - 1}\n"
        subprocess.run(
            [sys.executable, "-I", "-S", guard.__file__, "MAESTRO_GUARD_ID=none"],
            input=lines.encode(),
            check=True,
            timeout=120,
        )

        assert stranger.poll() is None
        stranger.kill()
