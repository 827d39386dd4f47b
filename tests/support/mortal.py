"""One life of a run whose provider, ticket sink and observer are processes of their own: `main`."""

import sys
from pathlib import Path
from typing import Final

from doomed import Executioner
from maestro_actors import help_desk
from maestro_runtime import RuntimeOptions, SessionOrder, open_runtime
from maestro_runtime.config import Flags, load_team, resolve_settings
from maestro_runtime.config.tickets import WebhookSettings
from maestro_runtime.tickets import WebhookSink
from maestro_storage import StoreOptions
from observer import Teller
from outside import SECRET

SESSION: Final = "mortal"
RUN_SECONDS_MAX: Final = 30.0


def main(  # noqa: PLR0917 - as a command line
    team: str, state: str, output: str, sink_url: str, observer: str, when: str, number: str
) -> None:
    """Run the session until the commit where it dies, or to its end, and tell how it ended.

    WHEN is "before" (everything is written, nothing durable), "after" (durable, nothing delivered)
    or "never".
    """
    vars(help_desk)["BACKOFF_SECONDS"] = 0.1
    loaded = load_team(team, settings=resolve_settings(Flags(), {}))
    options = RuntimeOptions(
        observer=Executioner(when, int(number)),
        tickets=WebhookSink(WebhookSettings(sink_url, SECRET)),
        store=StoreOptions(ballast_bytes=1 << 16),
    )
    with Teller(Path(observer)) as teller, open_runtime(state, options) as runtime:
        runtime.subscribe(teller.event)
        session = runtime.run(SessionOrder(loaded.team, SESSION, Path(output)))
        report = session.result(RUN_SECONDS_MAX)
        if not runtime.settle_tickets(SESSION, RUN_SECONDS_MAX):
            sys.exit("not all tickets and alerts are delivered")
        teller.result(report)
