"""A program beside a run, which outlives it: starts it, follows it, takes checkpoints of it."""

import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from maestro_runtime import Client, SessionOrder
from maestro_runtime.client import ClientOptions, Patience, connect
from maestro_runtime.config import Flags, load_team, resolve_settings
from maestro_runtime.wire.errors import DaemonUnreachable
from maestro_storage import Store
from mortal import SESSION, Places

if TYPE_CHECKING:
    from maestro_storage.records import EventRecord

BOUND_SECONDS: Final = 30.0
PATIENCE: Final = Patience(seconds=BOUND_SECONDS, most_seconds=0.1)


class Looker:
    """A client on a thread of its own, from the first life of a run to its last."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._events: list[EventRecord] = []
        self._numbers: list[int] = []
        """Of the checkpoints that it was told to be taken."""
        self._closing = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        return self

    def begin(self) -> None:
        """Connect as soon as somebody answers."""
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(BOUND_SECONDS)

    def check(self) -> None:
        """Check, once no run is alive, that nothing was lost on the way, and nothing done twice."""
        self.__exit__(None, None, None)
        assert not self._thread.is_alive(), "it still waits for an answer"
        if self._error is not None:
            raise self._error
        with Store.inspect(self._places.state_dir) as store:
            history = list(store.events.scan(SESSION))
        assert self._events == history[: len(self._events)], "events were lost, or told twice"
        taken = [event.data["checkpoint"] for event in history if event.kind == "checkpoint_taken"]
        # The last one may have been taken without an answer.
        assert taken[: len(self._numbers)] == self._numbers
        assert len(taken) <= len(self._numbers) + 1, "a checkpoint was taken twice"

    @property
    def heard(self) -> int:
        """How many events it was told."""
        return len(self._events)

    def _look(self) -> None:
        try:
            client = self._connected()
            if client is not None:
                with client:
                    closer = threading.Thread(target=self._close_in_time, args=(client,))
                    closer.start()
                    try:
                        self._follow(client)
                    finally:
                        self._closing.set()
                        closer.join()
        except DaemonUnreachable:
            # There is no further life.
            return
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error

    def _close_in_time(self, client: Client) -> None:
        self._closing.wait()
        client.close()

    def _connected(self) -> Client | None:
        for pause_seconds in PATIENCE.pauses():
            try:
                return connect(state_dir=self._places.state, options=ClientOptions(PATIENCE))
            except DaemonUnreachable:
                if self._closing.wait(pause_seconds):
                    return None
        return None

    def _follow(self, client: Client) -> None:
        team = load_team(self._places.team, settings=resolve_settings(Flags(), {})).team
        session = client.run(SessionOrder(team, SESSION, Path(self._places.output)))
        for event in session.events():
            self._events.append(event)
            if event.kind == "task_done":
                self._numbers.append(client.checkpoint(SESSION, "seen"))
