"""Findings about a state: what is stored, who owns it, and what its sessions need."""

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from maestro_actors.messages import encode
from maestro_runtime._version import __version__
from maestro_runtime.cli._contact import line_to
from maestro_runtime.cli._findings import RECORDS, Finding, Verdict
from maestro_runtime.cli._sessions import to_go_on
from maestro_runtime.config.daemon import DaemonSettings
from maestro_runtime.daemon._starts import unclean
from maestro_runtime.daemon._taking_up import under_way
from maestro_runtime.daemon._unpriced import unpriced
from maestro_runtime.engines.registry import EngineRegistry, builtin_engines
from maestro_runtime.prices import open_prices
from maestro_runtime.recorded import recorded_team
from maestro_runtime.starting.readiness import require_ready
from maestro_runtime.wire.errors import DaemonUnreachable, WireError
from maestro_runtime.wire.line import SOCKET_NAME, Line
from maestro_runtime.wire.news import NEWS_ADDRESS, SESSIONS_MAX, Resting, WhoRests
from maestro_runtime.wire.records import LineRows
from maestro_runtime.wire.state import CUSTODIAN_ADDRESS, GetStateInfo
from maestro_storage import Records, Store, StoreInfo, StoreOptions
from maestro_storage.errors import NotFound, StateDamaged, StateOwned, StorageError
from maestro_storage.records import SessionRecord

FULL_SHARE: Final = 0.8
"""Of the room for records, above which a state is called nearly full."""

JUMP_MS: Final = 60_000
"""How far a clock may lie behind what was written last."""


def examine_installation(settings: DaemonSettings) -> Iterator[Finding]:
    """Look at a state and at who owns it, through its socket if somebody does. Writes nothing."""
    path = settings.state_dir.value
    yield _socket(settings.socket.value, path)
    try:
        with Store.inspect(path) as view:
            yield Finding("daemon", "ok", "none runs")
            yield from _state(view, view.info(), 0, {})
            yield from _prices(view, settings)
    except NotFound:
        yield Finding(RECORDS, "ok", "there is no state yet")
    except StateOwned as owned:
        yield from _owned(settings, owned)
    except StateDamaged as error:
        yield Finding(RECORDS, "failed", str(error))
    except StorageError as error:
        yield Finding("state", "failed", str(error))


def _socket(socket: Path, state_dir: Path) -> Finding:
    directory = socket.parent
    if directory == state_dir or os.access(directory, os.W_OK | os.X_OK):
        return Finding("socket", "ok", str(socket))
    return Finding("socket", "failed", f"{socket} cannot be made: {directory} is not writable")


def _owned(settings: DaemonSettings, owned: StateOwned) -> Iterator[Finding]:
    """Look at a state through the socket of its owner."""
    state_dir, socket = settings.state_dir.value, settings.socket.value
    try:
        line = _line(state_dir, socket)
    except DaemonUnreachable:
        silence = "" if owned.is_silent else f", and does not answer at {socket}"
        yield Finding("daemon", "warning", f"{owned}{silence}")
        return
    except WireError as error:
        yield Finding("daemon", "failed", str(error))
        return
    with line:
        welcome = line.welcome
        kind = f"pid {welcome.pid}, {welcome.status or 'a command that runs a session'}"
        verdict: Verdict = "warning" if welcome.safe_mode else "ok"
        yield Finding("daemon", verdict, kind)
        if welcome.version != __version__:
            detail = f"it is {welcome.version}, installed is {__version__}: restart it"
            yield Finding("release", "warning", detail)
        answer = line.ask(CUSTODIAN_ADDRESS, encode(GetStateInfo()))
        info = msgspec.msgpack.decode(answer, type=StoreInfo)
        rows = LineRows(line)
        records = Records(rows, epoch=welcome.epoch, quarantined=welcome.quarantined)
        # In safe mode all are, and that is told already.
        left = {} if welcome.safe_mode else _left(line, records)
        yield from _state(records, info, 1 if welcome.hosts else 0, left)
        yield from _prices(records, settings)


def _line(state_dir: Path, socket: Path) -> Line:
    """Connect to the owner of a state: where it would be started now, or where it is looked for."""
    try:
        return line_to(state_dir, socket)
    except DaemonUnreachable:
        return Line(state_dir / SOCKET_NAME)


def _left(line: Line, records: Records) -> Mapping[str, str]:
    """Ask the owner of a state with which sessions nobody goes on there, and why."""
    names = tuple(record.session_id for record in under_way(records))
    answer = line.ask(NEWS_ADDRESS, encode(WhoRests(sessions=names[:SESSIONS_MAX])))
    return msgspec.msgpack.decode(answer, type=Resting).left


def _state(
    records: Records, info: StoreInfo, running: int, left: Mapping[str, str]
) -> Iterator[Finding]:
    """Look at what is stored.

    Args:
        records: Where to look.
        info: Its figures.
        running: How many daemons are not expected to have ended.
        left: Sessions that their owner does not go on with, and why.
    """
    if records.quarantined:
        names = ", ".join(sorted(records.quarantined))
        yield Finding(RECORDS, "failed", f"damaged in session {names}")
    else:
        yield Finding(RECORDS, "ok", f"{sum(info.counts.values())} values, all sound")
    yield _room(info)
    sessions = list(records.sessions.scan())
    now_ms = time.time_ns() // 1_000_000
    last_ms = max((record.updated_ms for record in sessions), default=0)
    if last_ms > now_ms + JUMP_MS:
        detail = f"set back by {(last_ms - now_ms) // 1000} s since the last change"
        yield Finding("clock jump", "warning", detail)
    crashes = max(0, len(unclean(records, now_ms)) - running)
    detail = f"starts of the daemon within 10 minutes that ended in one: {crashes}"
    yield Finding("crashes", "warning" if crashes else "ok", detail)
    yield from _sessions(records, EngineRegistry(builtin_engines(info.state_id)), left)


def _sessions(
    records: Records, registry: EngineRegistry, left: Mapping[str, str]
) -> Iterator[Finding]:
    """Look for sessions that do not go on by themselves; `left` as in `_state`."""
    for record in records.sessions.scan():
        if record.set_aside:
            detail = f"{record.pause_reason}; {to_go_on(record.session_id)}"
            yield Finding(f"session {record.session_id}", "warning", detail)
    sound = 0
    for record in under_way(records):
        session_id = record.session_id
        why_not = _keeps_from_going_on(records, record, registry)
        if why_not:
            yield Finding(f"session {session_id}", "warning", f"cannot go on: {why_not}")
        elif session_id in left:
            detail = f"nobody goes on with it: {left[session_id]}; {to_go_on(session_id)}"
            yield Finding(f"session {session_id}", "warning", detail)
        else:
            sound += 1
    # A busy daemon has hundreds: only those are named that somebody has to look at.
    yield Finding("sessions", "ok", f"under way that can go on: {sound}")


def _prices(records: Records, settings: DaemonSettings) -> Iterator[Finding]:
    """Look for sessions whose calls the budgets of the configuration would refuse."""
    policy = settings.policy.value
    prices = open_prices(settings.state_dir.value, policy.prices)
    for session_id, why in unpriced(records, policy, prices, time.time_ns() // 1_000_000):
        yield Finding(f"prices of {session_id}", "warning", why)


def _room(info: StoreInfo) -> Finding:
    limit_bytes = min(info.map_bytes, info.quota_bytes or StoreOptions().quota_bytes)
    share = info.used_bytes / limit_bytes
    detail = f"{info.used_bytes >> 20} of {limit_bytes >> 20} MiB used, {share:.0%}"
    if info.degraded:
        return Finding("room for records", "warning", f"{detail}; degraded: {info.degraded}")
    return Finding("room for records", "ok" if share < FULL_SHARE else "warning", detail)


def _keeps_from_going_on(
    records: Records, record: SessionRecord, registry: EngineRegistry
) -> str | None:
    """Look for what a session needs, make nothing for it, and return what is missing."""
    try:
        require_ready(recorded_team(records, record), registry)
    except Exception as error:  # noqa: BLE001 - foreign engines may raise whatever they want
        return str(error) or type(error).__name__
    output = Path(record.output_dir)
    if output.exists() and not output.is_dir():
        return f"{output} is not a directory"
    return None
