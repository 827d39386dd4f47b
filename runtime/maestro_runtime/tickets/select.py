"""From the settings to the sink."""

from pathlib import Path

from maestro_runtime.config.errors import SettingInvalid
from maestro_runtime.config.tickets import JiraSettings, TicketSettings, WebhookSettings
from maestro_runtime.tickets.file import DIRECTORY, FileSink
from maestro_runtime.tickets.protocol import TicketSink
from maestro_runtime.tickets.webhook import WebhookSink


def configured_sink(settings: TicketSettings, state_dir: Path) -> TicketSink:
    """Return the sink that the settings name.

    Raises:
        SettingInvalid: It is the `jira` sink, and its library is not installed.
    """
    match settings:
        case None:
            return FileSink(state_dir / DIRECTORY)
        case WebhookSettings():
            return WebhookSink(settings)
        case JiraSettings():
            try:
                from maestro_runtime.tickets.jira import (  # noqa: PLC0415 - an optional library
                    JiraSink,
                )
            except ModuleNotFoundError as error:
                rule = "a sink that is installed (maestro-runtime[jira])"
                raise SettingInvalid("environment MAESTRO_TICKET_SINK", rule, "jira") from error
            return JiraSink(settings)
