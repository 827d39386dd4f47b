"""The personas of a session that runs: one for each task that has begun, started when needed."""

from collections.abc import Collection, Mapping
from typing import Final

from maestro_actors.accounting.accountant_proxy import AccountantProxy
from maestro_actors.identity import coordinator_address, persona_address
from maestro_actors.kernel import Restart
from maestro_actors.messages import TaskStopped
from maestro_actors.ports import Ports
from maestro_actors.sessions.blockers import Entry
from maestro_actors.tasks.persona import Persona
from maestro_actors.tasks.persona_proxy import PersonaProxy
from maestro_actors.tasks.task import Assignment, Task
from maestro_actors.tasks.undertaker import Undertaker
from maestro_actors.team import Team
from maestro_storage.records import SessionRecord

_SUPERVISION: Final = Restart()

EARLY_SLOTS_MAX: Final = 64
"""Of more at once somebody's opening is in each commit anyway, and twice as many attempts under way
take a tenth more CPU time: they no longer fit into the caches."""


class Personas:
    """Starts the personas of one session and sends them away; belongs to its coordinator."""

    def __init__(
        self, ports: Ports, session: SessionRecord, team: Team, entries: Mapping[str, Entry]
    ) -> None:
        self._ports = ports
        self._session_id = session.session_id
        self._coordinator = coordinator_address(session.session_id)
        self._team = team
        self._entries = entries
        self._contracts = {contract.id: contract for contract in team.contracts}
        self._channel = ports.channel
        self._assignment = Assignment(
            session_id=session.session_id,
            requirement=team.requirement,
            workspace=session.output_dir,
            input_dir=session.input_dir,
            seed=team.seed,
            epoch=ports.epoch,
            budgets=team.budgets,
            lost_policy=team.lost_policy,
            inputs=team.inputs,
            priority=session.priority,
            frees_early=team.max_parallel_workers <= EARLY_SLOTS_MAX,
        )

    @property
    def are_gone(self) -> bool:
        """Whether nobody is left who could write of a task."""
        return not any(entry.alive for entry in self._entries.values())

    def of(self, task_id: str) -> PersonaProxy:
        """Return the proxy of a task's persona, started if it is not there."""
        if not self._entries[task_id].alive:
            self._spawn(task_id, Persona)
        return PersonaProxy(self._channel, self._session_id, task_id)

    def bury(self, task_id: str) -> None:
        """Have the task of a persona that has failed for good ended by an undertaker."""
        self._spawn(task_id, Undertaker)

    def stop_attempts(
        self, task_ids: Collection[str], *, kill: bool, deadline_ms: int | None = None
    ) -> None:
        """Have the attempts of tasks come to their end, by a deadline, or be killed."""
        for task_id in task_ids:
            proxy = PersonaProxy(self._channel, self._session_id, task_id)
            proxy.stop_attempt(kill=kill, deadline_ms=deadline_ms)

    def dismiss(self) -> None:
        """Send all away; each that is gone is told to the coordinator."""
        for task_id, entry in self._entries.items():
            # An undertaker has a task to end first, and goes by itself.
            if entry.alive and not entry.failed:
                send_away(self._ports, persona_address(self._session_id, task_id))

    def _spawn(self, task_id: str, kind: type[Persona]) -> None:
        entry = self._entries[task_id]
        entry.alive = True
        entry.failed = kind is Undertaker
        contract = self._contracts[task_id]
        spec = self._team.personas[contract.provider_persona_id]
        address = persona_address(self._session_id, task_id)
        self._ports.system.spawn(
            kind,
            self._ports,
            Task(self._assignment, spec, contract),
            entry.record,
            address=address,
            supervision=_SUPERVISION,
        )
        stopped = TaskStopped(task_id=task_id)
        self._ports.system.watch(address, self._coordinator, stopped)


def send_away(ports: Ports, address: str) -> None:
    """Have the persona at an address go; what it waits for is left to others."""
    AccountantProxy(ports.channel).return_room(address)
    ports.system.timers.cancel(address)
    ports.system.stop(address)
