"""Logs of a process that runs the runtime: structured, one line each, without secrets.

The packages log through the standard library and configure nothing: a program that embeds the
runtime keeps its own set-up. The command line and the daemon call `configure_logs`.
"""

import faulthandler
import io
import logging
import os
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from logging.handlers import WatchedFileHandler
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

import structlog

from maestro_actors.whereabouts import whereabouts
from maestro_runtime.redaction import Redactor, environment_secrets

Level = Literal["debug", "info", "warning", "error"]

RETURNED: Final = "maestro_actors.kernel._actor"
"""Logs every exception that goes back to its caller, with its traceback, as Pykka's actors do."""

_log: Final = logging.getLogger(__name__)


def configure_logs(
    *,
    as_json: bool,
    level: Level = "warning",
    secrets: Iterable[str] = (),
    file: Path | None = None,
) -> Redactor:
    """Send what is logged to stderr, with its fields, and with it what nobody catches.

    A record that is made in the turn of an actor, or while an engine works, says of which session,
    task, attempt and call. Uncaught exceptions of any thread are logged, and so are warnings; a
    fatal signal leaves the stacks of all threads on stderr. A second call replaces the first.

    Args:
        as_json: One JSON object for each record, instead of text.
        level: Least severe level that is logged.
        secrets: Values that are never shown, besides those of the environment.
        file: Written to instead of stderr; opened anew when somebody has moved it away.

    Returns:
        What takes secrets out of the lines; they do without whatever it learns later, too.

    Raises:
        OSError: The file cannot be opened.
    """
    redactor = Redactor((*environment_secrets(os.environ), *secrets))
    handler = logging.StreamHandler(sys.stderr) if file is None else WatchedFileHandler(file)
    handler.setFormatter(
        _Formatter(redactor, as_json=as_json, colors=file is None and sys.stderr.isatty())
    )
    logging.basicConfig(handlers=[handler], force=True)
    set_level(level)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable
    if not faulthandler.is_enabled():
        # Without a file behind stderr there is nowhere to write to from a signal.
        with suppress(io.UnsupportedOperation, AttributeError):
            faulthandler.enable()
    return redactor


def set_level(level: Level) -> None:
    """Change the least severe level that is logged."""
    logging.getLogger().setLevel(level.upper())
    # An order that is refused is no news, however often clients give it.
    logging.getLogger(RETURNED).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Makes a line of a record and takes the secrets out of it, tracebacks included."""

    def __init__(self, redactor: Redactor, *, as_json: bool, colors: bool) -> None:
        self._redactor = redactor
        renderer: structlog.typing.Processor = (
            structlog.processors.JSONRenderer()
            if as_json
            else structlog.dev.ConsoleRenderer(colors=colors)
        )
        super().__init__(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                _add_whereabouts,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                # First in the fields, so that a figure among them leaves JSON behind.
                self._clean_fields,
                renderer,
            ],
        )

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return self._redactor.clean(super().format(record))

    def _clean_fields(
        self,
        _logger: structlog.typing.WrappedLogger,
        _name: str,
        fields: structlog.typing.EventDict,
    ) -> structlog.typing.EventDict:
        return {key: self._redactor.cleaned(value) for key, value in fields.items()}


def _add_whereabouts(
    _logger: structlog.typing.WrappedLogger, _name: str, fields: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return {**whereabouts(), **fields}


def _uncaught(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    _log.critical("an exception ends the process", exc_info=(kind, error, traceback))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None or issubclass(args.exc_type, SystemExit):
        return
    name = "?" if args.thread is None else args.thread.name
    traceback = (args.exc_type, args.exc_value, args.exc_traceback)
    _log.critical("an exception ends thread %s", name, exc_info=traceback)


def _unraisable(args: "sys.UnraisableHookArgs") -> None:
    if args.exc_value is not None:
        traceback = (args.exc_type, args.exc_value, args.exc_traceback)
        what = args.err_msg or "an exception that nobody can catch"
        _log.error("%s: %r", what, args.object, exc_info=traceback)
