"""What the verbs of a runtime have in common."""

from typing import Final

from maestro_actors.kernel import ActorSystem
from maestro_actors.ports import Ports
from maestro_actors.team import Team
from maestro_runtime.engines.registry import EngineRegistry
from maestro_runtime.proxies import Proxies
from maestro_runtime.running.sessions import RunningSessions
from maestro_runtime.starting.openings import Openings
from maestro_runtime.starting.readiness import current_versions
from maestro_runtime.starting.resumption import Footing, note_changes
from maestro_storage import Store
from maestro_storage.plan import Plan

DURABLE_SECONDS: Final = 30.0
"""Longest wait for a change to become durable."""


class Foundation(Proxies):
    """The records and the actors of one state directory, and the sessions that run on them."""

    def __init__(
        self,
        store: Store,
        ports: Ports,
        running: RunningSessions,
        registry: EngineRegistry,
        starting: Openings,
    ) -> None:
        super().__init__(ports.channel)
        self.store: Final = store
        self.ports: Final = ports
        self.running: Final = running
        self.registry: Final = registry
        self.starting: Final = starting
        """Held while a session is looked up and started, or its record is changed at rest: two
        callers must not both do it."""

    @property
    def system(self) -> ActorSystem:
        """Where the actors live."""
        return self.ports.system

    def now_ms(self) -> int:
        """Return the wall clock in milliseconds."""
        return self.ports.now_ms()

    def note_changes(
        self, session_id: str, stored: Team, team: Team, plan: Plan | None = None
    ) -> None:
        """Write down with what a session goes on, unless it runs; `plan` is that which it gets."""
        if self.running.is_under_way(session_id):
            return
        record = self.store.require_session(session_id)
        runs = record.plan if plan is None else plan
        footing = Footing(team, current_versions(team, self.registry), runs)
        note_changes(self.store, record, stored, footing, self.now_ms())
