"""A daemon killed, or restarted as for an upgrade, while programs in other processes drive it.

Each program submits sessions and follows their events through one client, which comes back by
itself; some of them it removes on the way, and every other round the daemon forgets those that have
ended long ago. What a program was told, and what the engine did, is in files outside the daemon.
"""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import msgspec

import forgetful
import forked
from command_line import CommandLine
from crash_team import engine_runs, write_team
from daemon_process import PROGRAM, DaemonProcess
from invariants import Observed, as_line, check_over
from maestro_actors.team import RetryPolicy, Team
from maestro_runtime import SessionOrder
from maestro_runtime.cli._event_line import EventLine
from maestro_runtime.client import Client, connect
from maestro_runtime.config import Flags, load_team, resolve_settings
from maestro_runtime.daemon._starts import NAME as STARTS
from maestro_runtime.testing import end_of
from maestro_storage import StateView, Store
from maestro_storage.errors import NotFound

PROGRAMS: Final = 3
SESSIONS: Final = 8
"""Of each program."""
REMOVED_ONE_OF: Final = 4
"""Of so many sessions a program removes one."""
REMOVED: Final = "removed"
FORGOTTEN: Final = "forgotten"
EVENTS_MAX: Final = 12
"""Most events of a session before it is removed; it may have ended by then."""
AT_ONCE: Final = 4
"""Sessions of a program that are under way at the same time."""
KEPT: Final = PROGRAMS * AT_ONCE
"""Sessions that a daemon does not forget: as a rule no program is still about to hear of more."""
LIFE_SECONDS_MAX: Final = 1.0
"""Longest life of a daemon after it was ready."""
STRIKES_MAX: Final = 4
"""Ends of a daemon in one round."""
BOUND_SECONDS: Final = 30.0
RETRY: Final = RetryPolicy(
    # Every crash counts as an attempt, and no task is to be given up for that.
    max_attempts=STRIKES_MAX + 3,
    backoff_seconds=0.02,
    backoff_max_seconds=0.05,
    max_rounds=1,
)


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a program was told: that a session is accepted, an event, or how it has ended."""

    session_id: str
    event: EventLine | None = None
    ended: str = ""
    """State of the session, or that it is removed, or forgotten before the program had heard."""


def one_round(directory: Path, seed: int) -> Counter[str]:
    """Let programs drive daemons that die, until they are through; count what was done."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    team = write_team(directory)
    counted: Counter[str] = Counter(rounds=1)
    forgets = seed % 2 == 0
    command = (forgetful.__file__, str(KEPT)) if forgets else PROGRAM
    with DaemonProcess(CommandLine(directory), program=command) as daemon:
        ours, theirs = Pipe()
        programs = [
            forked.start(drive, theirs, str(team), str(daemon.socket), number, seed)
            for number in range(PROGRAMS)
        ]
        try:
            for _ in programs:
                assert ours.poll(BOUND_SECONDS), "a program has not connected"
                ours.recv_bytes()
            for _ in range(STRIKES_MAX):
                if _drives_on(programs, chance):
                    counted[_struck(daemon, chance)] += 1
        except BaseException:
            for program in programs:
                program.kill()
            raise
        codes = [end_of(program) for program in programs]
        assert codes == [0] * PROGRAMS, daemon.log.read_text()[-3_000:]
        assert daemon.stop() == 0
    return counted + _checked(directory, forgets=forgets)


def drive(here: Connection, team_path: str, socket: str, number: int, seed: int) -> None:
    """Submit sessions, follow each to its end, and keep what was told: a program."""
    team = _patient(load_team(team_path, settings=resolve_settings(Flags(), {})).team)
    directory = Path(team_path).parent
    # One that has an alert on its way is removed later.
    quiet = msgspec.structs.replace(team, budgets=())
    with (
        Path(directory, f"told-{number}.jsonl").open("ab", buffering=0) as log,
        connect(socket) as client,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        here.send_bytes(b"connected")

        def tell(told: Told) -> None:
            log.write(msgspec.json.encode(told) + b"\n")

        def one(place: int) -> None:
            name = f"p{number}-{place}"
            is_to_go = place % REMOVED_ONE_OF == 0
            output = Path(directory, "output", name)
            session = client.run(SessionOrder(quiet if is_to_go else team, name, output))
            tell(Told(name))
            chance = random.Random(f"{seed} {name}")  # noqa: S311 - not for secrets
            most = chance.randint(0, EVENTS_MAX) if is_to_go else None
            try:
                for event in islice(map(as_line, session.events()), most):
                    tell(Told(name, event=event))
                state = _removed(client, name) if is_to_go else session.result(BOUND_SECONDS).state
            except NotFound:
                state = FORGOTTEN
            tell(Told(name, ended=state))

        list(pool.map(one, range(SESSIONS)))


def _removed(client: Client, session_id: str) -> str:
    """Have a session removed, whatever it does; it is on return."""
    with suppress(NotFound):
        client.remove(session_id, cancel=True).result(BOUND_SECONDS)
        raise RuntimeError(f"session {session_id} is removed, and is there")
    return REMOVED


def _patient(team: Team) -> Team:
    personas = {
        name: msgspec.structs.replace(persona, retry=RETRY)
        for name, persona in team.personas.items()
    }
    return msgspec.structs.replace(team, personas=personas)


def _drives_on(programs: list[BaseProcess], chance: random.Random) -> bool:
    """Let a daemon live for a random while; False if all programs are through before."""
    programs[0].join(chance.random() * LIFE_SECONDS_MAX)
    return any(program.is_alive() for program in programs)


def _struck(daemon: DaemonProcess, chance: random.Random) -> str:
    """End the daemon in one of two ways and start the next one; return what that is counted as."""
    word = chance.choice(("kills", "kills", "upgrades"))
    if word == "kills":
        daemon.kill()
    else:
        assert daemon.stop() == 0
    daemon.start()
    with connect(daemon.socket) as client:
        # After three crashes in a row who waits for a session is told of safe mode, and gives up.
        client.keep_values({STARTS: b"[]"})
    return word


def _checked(directory: Path, *, forgets: bool) -> Counter[str]:
    """Hold the records against what was told and done; return what was counted."""
    with Store.inspect(directory / "state") as store:
        there = {record.session_id for record in store.sessions.scan()}
    told = [
        msgspec.json.decode(line, type=Told)
        for path in sorted(directory.glob("told-*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]
    events = [item.event for item in told if item.event is not None]
    accepted = Counter(item.session_id for item in told if item.event is None and not item.ended)
    ended = {item.session_id: item.ended for item in told if item.ended}
    assert len(accepted) == PROGRAMS * SESSIONS
    removed = frozenset(name for name, how in ended.items() if how == REMOVED)
    left = accepted.keys() - removed
    forgotten = left - there
    assert forgets or not forgotten, f"{forgotten} are lost"
    unheard = {name for name in forgotten if ended[name] == FORGOTTEN}
    heard = dict.fromkeys(left, "done") | dict.fromkeys(unheard, FORGOTTEN)
    assert ended == heard | dict.fromkeys(removed, REMOVED)
    observed = Observed(
        acknowledged=[event for event in events if event.session_id in there],
        runs=[run for run in engine_runs(directory) if run.workspace in there],
        attempts_max=RETRY.max_attempts,
        removed=removed | forgotten,
    )
    states = check_over(directory / "state", observed, frozenset())
    assert states.keys() == there == left - forgotten, (
        "what was not asked for was run, or the reverse"
    )
    with Store.inspect(directory / "state") as store:
        for session_id in there:
            _check_session(store, session_id, events)
        calls: Counter[str] = Counter()
        for cell in store.usage.scan():
            calls[cell.session_id] += cell.calls
    for session_id in left:
        streamed = [event for event in events if event.session_id == session_id]
        assert [event.sequence for event in streamed] == list(range(1, len(streamed) + 1))
        kinds = {event.kind for event in streamed}
        assert "session_done" in kinds or session_id in unheard
    ran = Counter(run.workspace for run in engine_runs(directory))
    # A call may be booked that a kill has kept from its engine.
    assert all(calls[name] >= ran[name] for name in accepted), "what was used is not booked"
    return Counter(
        sessions=len(accepted),
        removed=len(removed),
        forgotten=len(forgotten),
        tasks=sum(map(len, states.values())),
        events=len(events),
    )


def _check_session(store: StateView, session_id: str, events: list[EventLine]) -> None:
    """Once accepted, ended once; each task was done once; its stream had no gap and no repeat."""
    history = [as_line(event) for event in store.events.scan(session_id)]
    kinds = Counter(event.kind for event in history)
    assert kinds["session_started"] == kinds["session_done"] == 1
    tasks = [task.task_id for task in store.tasks.scan(session_id)]
    succeeded = [event.task_id for event in history if event.kind == "attempt_succeeded"]
    assert sorted(succeeded) == sorted(tasks)
    streamed = [event for event in events if event.session_id == session_id]
    # Alerts may leave after the end; a stream does not wait for them.
    assert streamed == history[: len(streamed)]
