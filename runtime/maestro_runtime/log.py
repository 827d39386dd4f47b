"""Logs of a process that runs the runtime: structured, on stderr, one line each.

The packages log through the standard library and configure nothing: a program that embeds the
runtime keeps its own set-up. The command line calls `configure_logs`.
"""

import logging
import sys

import structlog


def configure_logs(*, as_json: bool) -> None:
    """Send warnings and errors to stderr, with their fields.

    Args:
        as_json: One JSON object for each record, instead of text.
    """
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
