"""Sinks: where the tickets of final failures and the alerts of budgets go.

The `jira` sink is not exported: it is loaded, with its library, when it is configured.
"""

from maestro_runtime.tickets.alerts import AlertFile
from maestro_runtime.tickets.desk import TicketDesk
from maestro_runtime.tickets.errors import TicketNotDelivered
from maestro_runtime.tickets.file import FileSink
from maestro_runtime.tickets.protocol import AlertSink, TicketSink
from maestro_runtime.tickets.select import configured_sink
from maestro_runtime.tickets.webhook import WebhookSink

__all__ = [
    "AlertFile",
    "AlertSink",
    "FileSink",
    "TicketDesk",
    "TicketNotDelivered",
    "TicketSink",
    "WebhookSink",
    "configured_sink",
]
