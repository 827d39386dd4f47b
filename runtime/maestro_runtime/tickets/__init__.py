"""Sinks: where the tickets of final failures and the alerts of budgets go.

The `jira` sink is not exported: it is loaded, with its library, when it is configured.
"""

from typing import TYPE_CHECKING

from maestro_runtime._lazy import loader

if TYPE_CHECKING:
    from maestro_runtime.tickets.alerts import AlertFile
    from maestro_runtime.tickets.desk import TicketDesk, ticket_desk
    from maestro_runtime.tickets.errors import TicketNotDelivered
    from maestro_runtime.tickets.file import FileSink
    from maestro_runtime.tickets.protocol import AlertSink, TicketSink
    from maestro_runtime.tickets.select import configured_sink
    from maestro_runtime.tickets.webhook import WebhookSink

_HOMES = {
    "AlertFile": "alerts",
    "AlertSink": "protocol",
    "FileSink": "file",
    "TicketDesk": "desk",
    "TicketNotDelivered": "errors",
    "TicketSink": "protocol",
    "WebhookSink": "webhook",
    "configured_sink": "select",
    "ticket_desk": "desk",
}
"""Public names, and the module each is loaded from."""

__all__ = [
    "AlertFile",
    "AlertSink",
    "FileSink",
    "TicketDesk",
    "TicketNotDelivered",
    "TicketSink",
    "WebhookSink",
    "configured_sink",
    "ticket_desk",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = loader(__name__, _HOMES)
