"""The daemon's process: it opens, takes up, serves, drains and closes; its main thread waits."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, MutableMapping
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from maestro_actors.ledger.errors import PriceTableInvalid
from maestro_runtime._version import __version__
from maestro_runtime.config.daemon import DaemonSettings, changes
from maestro_runtime.config.daemon_file import Access
from maestro_runtime.config.errors import ConfigError
from maestro_runtime.daemon._dump import dump
from maestro_runtime.daemon._gate import RuntimeGate
from maestro_runtime.daemon._notifier import Notifier
from maestro_runtime.daemon._patience import opened_patiently
from maestro_runtime.daemon._pulse import Pulse
from maestro_runtime.daemon._server import SocketServer
from maestro_runtime.daemon._signals import Signals
from maestro_runtime.daemon._starts import Starts
from maestro_runtime.daemon._taking_up import TakenUp, take_up, under_way
from maestro_runtime.daemon._unpriced import unpriced
from maestro_runtime.daemon.errors import DaemonError
from maestro_runtime.garbage import collect_seldom
from maestro_runtime.log import set_level
from maestro_runtime.options import RuntimeOptions
from maestro_runtime.prices import open_prices
from maestro_runtime.runtime import Runtime

TICK_SECONDS: Final = 5.0
"""How often the service manager hears of something that takes its time."""

RETENTION_SECONDS: Final = 600.0
"""Between two looks for sessions that are not to be kept any more."""

EXTEND_SECONDS: Final = 30
"""How much more time is asked of the service manager each time."""

_SAFE: Final = "safe mode: nothing runs until it is left"

T = TypeVar("T")

_log: Final = logging.getLogger(__name__)


class Daemon:
    """One life of the daemon, on the main thread of its process."""

    def __init__(
        self,
        settled: Callable[[], DaemonSettings],
        options: RuntimeOptions,
        environ: MutableMapping[str, str],
    ) -> None:
        """Begin nothing yet.

        Args:
            settled: Returns what it works with; asked again at each SIGHUP.
            options: How the runtime is opened; the policy is that of the settings.
            environ: The variables of the service manager are taken out of it.

        Raises:
            ConfigError: As `settled`.
        """
        self._settled: Final = settled
        self._settings = settled()
        self._options: Final = replace(options, policy=self._settings.policy.value)
        self._notifier: Final = Notifier(environ)
        watchdog_seconds = self._notifier.watchdog_seconds
        self._tick_seconds: Final = min(TICK_SECONDS, watchdog_seconds / 3 or TICK_SECONDS)
        self._signals: Final = Signals()
        self._stops = 0
        """How often it has been told to stop."""
        self._reloads = False
        """It has been told to read its configuration again."""
        self._runtime: Runtime | None = None
        self._pulse: Pulse | None = None
        self._starts: Starts | None = None
        self._is_released = False
        """Safe mode has been left, and what was under way has not been taken up yet."""
        self._status = ""

    def run(self) -> None:
        """Own the state and serve it until SIGTERM or SIGINT; all is in order on return.

        Raises:
            StateOwned, StateNotWritable, NetworkFileSystem, StateTooNew, RecordTooNew,
                StateDamaged: As `open_runtime`.
            SocketInUse, SocketUnusable: It cannot listen.
            StorageError, ActorFailed: The store or an actor was lost; what was acknowledged is
                safe.
        """
        collect_seldom()
        with self._signals:
            self._say("verifying the state")
            self._runtime = runtime = self._finished(self._opened)
            try:
                # Before anybody is let in: an order that was sent again must not slip through.
                starts = self._begun(runtime)
                with closing(self._listening(runtime, starts)) as server:
                    self._serve(runtime, server)
                    self._finished(starts.end)
            finally:
                self._say("closing the state")
                self._pulse = None
                self._finished(runtime.close)

    def _opened(self) -> Runtime:
        def waits() -> bool:
            self._say("waiting for another process to give up the state")
            return not self._stops

        return opened_patiently(self._settings.state_dir.value, self._options, waits)

    def _begun(self, runtime: Runtime) -> Starts:
        """Note that this start begins; after too many that ended in a crash nothing is to run."""
        now_ms = runtime.system.clock.now_ms()
        self._starts = starts = self._finished(partial(Starts, runtime.store, now_ms))
        if starts.too_many:
            _log.error("safe mode after %d starts that ended in a crash", len(starts.unclean))
            runtime.hosting.hold(self._leave_safe_mode)
            for record in self._finished(lambda: list(under_way(runtime.store))):
                runtime.hosting.leave_alone(
                    record.session_id, "the daemon is in safe mode after crashes"
                )
        return starts

    def _listening(self, runtime: Runtime, starts: Starts) -> SocketServer:
        gate = RuntimeGate(runtime, hosts=True, status=lambda: self._status)
        path, access = self._settings.socket.value, self._settings.access.value
        try:
            return SocketServer(path, gate, _admitted(access), group=access.group)
        except DaemonError:
            # Not a crash: whoever mends the path must not find it in safe mode.
            self._finished(starts.take_back)
            raise

    def _serve(self, runtime: Runtime, server: SocketServer) -> None:
        """Take up what was under way, and serve until it is time to go."""
        runtime.lost.add_done_callback(lambda _: self._signals.wake())
        if self._notifier.watchdog_seconds:
            self._pulse = Pulse(
                runtime.system, runtime.store.journal, lambda: self._notifier.tell(WATCHDOG=1)
            )
        taken = TakenUp() if runtime.hosting.held else self._take_up(runtime)
        if not self._is_over(runtime):
            self._tell_ready(runtime, taken)
        next_look = time.monotonic() + RETENTION_SECONDS
        while not self._is_over(runtime):
            self._say(_doing(runtime))
            self._hear(self._tick_seconds)
            if self._reloads:
                self._reload(runtime, server)
            if self._is_released:
                self._is_released = False
                self._take_up(runtime)
            if time.monotonic() >= next_look:
                self._retain(runtime)
                next_look = time.monotonic() + RETENTION_SECONDS
        if not runtime.lost.is_done:
            self._drain(runtime)
        if runtime.lost.is_done:
            runtime.lost.get()

    def _take_up(self, runtime: Runtime) -> TakenUp:
        return self._finished(partial(take_up, runtime, self._goes_on))

    def _retain(self, runtime: Runtime) -> None:
        """Delete old sessions, as each start does."""
        gone = self._finished(partial(runtime.hosting.retain, lambda: not self._is_over(runtime)))
        if gone:
            _log.info("%d sessions that had ended are deleted", len(gone))

    def _leave_safe_mode(self) -> None:
        """Forget the crashes and go on; on the thread of whoever orders it."""
        if self._starts is not None:
            self._starts.forgive()
        _log.warning("safe mode is left")
        self._is_released = True
        self._signals.wake()

    def _is_over(self, runtime: Runtime) -> bool:
        return self._stops > 0 or runtime.lost.is_done

    def _goes_on(self, taken: TakenUp) -> bool:
        # Not told for each of thousands: it goes with the next request for time.
        self._status = f"taking up sessions, {len(taken.resumed)} so far"
        return self._runtime is not None and not self._is_over(self._runtime)

    def _tell_ready(self, runtime: Runtime, taken: TakenUp) -> None:
        self._say(_doing(runtime))
        self._notifier.tell(READY=1)
        _log.info(
            "ready",
            extra={
                "version": __version__,
                "state_dir": str(runtime.store.path),
                "socket": str(self._settings.socket.value),
                "sessions_resumed": len(taken.resumed),
                "sessions_left": len(taken.left),
            },
        )

    def _reload(self, runtime: Runtime, server: SocketServer) -> None:
        """Take over the configuration as it is now, all of it or nothing."""
        self._reloads = False
        self._notifier.tell(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)
        before = self._settings
        try:
            after = self._settled()
            changed = self._finished(partial(runtime.govern, after.policy.value))
        except (ConfigError, PriceTableInvalid, OSError) as error:
            _log.error("configuration not changed: %s", error)
            self._status = "configuration not changed"
        else:
            self._settings = after
            server.users = _admitted(after.access.value)
            set_level(after.log_level.value)
            lines = (*changes(before, after), *changed)
            for line in lines or ("nothing has changed",):
                _log.warning("configuration: %s", line)
            for session_id, why in self._finished(lambda: self._unpriced(runtime)):
                _log.warning("session %s: %s", session_id, why)
        self._notifier.tell(READY=1, STATUS=self._status)

    def _unpriced(self, runtime: Runtime) -> list[tuple[str, str]]:
        policy = self._settings.policy.value
        prices = open_prices(self._settings.state_dir.value, policy.prices)
        return list(unpriced(runtime.store, policy, prices, runtime.system.clock.now_ms()))

    def _drain(self, runtime: Runtime) -> None:
        """Let what is in flight end, for a while, or until it is to be now."""
        timeout_seconds = self._settings.drain_timeout_seconds.value
        self._notifier.tell(STOPPING=1)
        self._say(f"draining for at most {timeout_seconds:g} s")
        until = time.monotonic() + timeout_seconds
        quiet = self._finished(runtime.hosting.drain)
        quiet.add_done_callback(lambda _: self._signals.wake())
        while not (quiet.is_done or runtime.lost.is_done or self._stops > 1):
            left_seconds = until - time.monotonic()
            if left_seconds <= 0:
                break
            self._hear(min(left_seconds, self._tick_seconds))
            self._ask_for_time()
        _log.info("drained" if quiet.is_done else "interrupting what is in flight")

    def _finished(self, work: Callable[[], T]) -> T:
        """Return what `work` returns on a thread of its own; signals are heard meanwhile."""
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
                done.set_exception(error)
            self._signals.wake()

        try:
            threading.Thread(target=run, name="daemon", daemon=True).start()
        except RuntimeError:
            # There is no memory for one. Deaf for a while, but the state is closed in order.
            run()
        while not done.done():
            self._hear(self._tick_seconds)
            self._ask_for_time()
        return done.result()

    def _ask_for_time(self) -> None:
        """Keep the service manager from losing patience with what takes longer than it allows."""
        self._notifier.tell(EXTEND_TIMEOUT_USEC=EXTEND_SECONDS * 1_000_000, STATUS=self._status)

    def _hear(self, timeout_seconds: float) -> None:
        """Wait for a signal, or for less, and do what it says."""
        if self._pulse is not None:
            self._pulse.beat()
        for number in self._signals.wait(timeout_seconds):
            match number:
                case signal.SIGTERM | signal.SIGINT:
                    self._stops += 1
                    _log.info("told to stop by %s", signal.Signals(number).name)
                case signal.SIGHUP:
                    self._reloads = True
                case signal.SIGUSR1:
                    _log.warning("%s", dump(self._runtime))

    def _say(self, status: str) -> None:
        if status != self._status:
            self._status = status
            self._notifier.tell(STATUS=status)
            _log.debug("%s", status)


def _admitted(access: Access) -> frozenset[int]:
    """Return who may use the socket. Root is whoever it likes to be, so it need not be kept out."""
    return frozenset((0, os.getuid(), *access.users))


def _doing(runtime: Runtime) -> str:
    """Return what is shown as status while nothing else is to be said."""
    return _SAFE if runtime.hosting.held else f"sessions under way: {runtime.hosting.running_count}"
