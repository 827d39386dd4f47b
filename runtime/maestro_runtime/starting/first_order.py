"""What can be refused of an order before there is a state: it must not be made for nothing."""

from dataclasses import replace

from maestro_actors.messages import encode
from maestro_actors.team import decode_team
from maestro_runtime.engines.registry import EngineRegistry, builtin_engines
from maestro_runtime.options import RuntimeOptions
from maestro_runtime.starting.admission import Admission
from maestro_runtime.starting.opening import require_openable
from maestro_runtime.starting.readiness import placed, require_ready
from maestro_runtime.wire.orders import StartSession
from maestro_runtime.wire.session_order import order_of


def require_startable(start: StartSession, options: RuntimeOptions) -> None:
    """Refuse the first order of a state that `Runtime.run` would refuse; nothing is made.

    Raises:
        Exception: What `Runtime.run` does.
    """
    # No process is started, so there is no state that it would work for.
    registry = EngineRegistry((*builtin_engines(""), *options.engines))
    order = order_of(start)
    session_id = order.resolved_id()
    team = placed(decode_team(encode(order.effective_team)), registry, options.breaker)
    order = Admission.checked(replace(order, team=team, context=None))
    require_ready(team, registry)
    require_openable(order, session_id)
