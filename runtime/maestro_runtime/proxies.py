"""The proxies of all actors, the same for who has a runtime and who is connected to one."""

from maestro_actors.accounting.accountant_proxy import AccountantProxy
from maestro_actors.circuit_breaker import BreakerProxy
from maestro_actors.help.help_desk import HelpDeskProxy
from maestro_actors.proxy import Channel
from maestro_actors.sessions.coordinator_proxy import CoordinatorProxy
from maestro_actors.tasks.persona_proxy import PersonaProxy
from maestro_runtime.wire.proxies import CustodianProxy, SupervisorProxy


class Proxies:
    """What both a `Runtime` and a `Client` hand out.

    From another process only the methods that answer with a status or a statement are taken:
    everything that changes something is an order to the supervisor, or a verb.
    """

    def __init__(self, channel: Channel) -> None:
        """Hand out proxies that send through a channel."""
        self._channel = channel

    def coordinator(self, session_id: str) -> CoordinatorProxy:
        """Return the coordinator of a session; it lives while the session runs."""
        return CoordinatorProxy(self._channel, session_id)

    def persona(self, session_id: str, task_id: str) -> PersonaProxy:
        """Return the persona of a task; it lives from the task's first slot to its end."""
        return PersonaProxy(self._channel, session_id, task_id)

    def breaker(self, name: str) -> BreakerProxy:
        """Return a circuit breaker by `Persona.breaker`; it lives once a session uses it."""
        return BreakerProxy(self._channel, name)

    @property
    def accountant(self) -> AccountantProxy:
        """The token accountant."""
        return AccountantProxy(self._channel)

    @property
    def help_desk(self) -> HelpDeskProxy:
        """The help desk."""
        return HelpDeskProxy(self._channel)

    @property
    def supervisor(self) -> SupervisorProxy:
        """Who carries out orders about sessions."""
        return SupervisorProxy(self._channel)

    @property
    def custodian(self) -> CustodianProxy:
        """Who looks after the state directory."""
        return CustodianProxy(self._channel)
