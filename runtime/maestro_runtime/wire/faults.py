"""Errors that travel: the class by its name, the fields it was made of, the words it says."""

import inspect
from functools import cache
from importlib import import_module
from typing import Any, Final

import msgspec
import pykka

from maestro_runtime.wire.errors import RemoteFailure
from maestro_runtime.wire.frames import Refusal

_MODULES: Final = (
    "maestro_storage.errors",
    "maestro_actors.errors",
    "maestro_actors.ledger.errors",
    "maestro_runtime.errors",
    "maestro_runtime.config",
    "maestro_runtime.workspace",
    "maestro_runtime.engines.errors",
    "maestro_runtime.checkpoints.errors",
    "maestro_runtime.wire.errors",
)
"""Where the public errors are; each is made again from its fields."""

TEXT_CHARS_MAX: Final = 8192


def refusal(request_id: int, error: BaseException) -> Refusal:
    """Return the frame that tells a client of an error."""
    fields: tuple[object, ...] = error.args
    try:
        msgspec.msgpack.encode(fields)
    except (TypeError, ValueError, OverflowError):
        # Fields of another kind cannot travel: the words must do.
        fields = (str(error),)
    return Refusal(
        id=request_id,
        kind=type(error).__name__,
        fields=fields,
        text=str(error)[:TEXT_CHARS_MAX],
    )


def error_of(refused: Refusal) -> Exception:
    """Return the error of a refusal, as it was raised in the daemon.

    One of a class that is not public comes as `RemoteFailure`.
    """
    kind = _classes().get(refused.kind)
    if kind is not None:
        fields = tuple(_as_made(field) for field in refused.fields)
        try:
            return kind(*fields)
        except TypeError:
            # A class that another release makes of other fields.
            pass
    return RemoteFailure(refused.kind, refused.text)


@cache
def _classes() -> dict[str, type[Exception]]:
    kinds: list[type[object]] = [pykka.ActorDeadError, pykka.Timeout]
    for module in map(import_module, _MODULES):
        kinds += [item for _, item in inspect.getmembers(module, inspect.isclass)]
    return {kind.__name__: kind for kind in kinds if issubclass(kind, Exception)}


def _as_made(field: Any) -> Any:
    """Return a field with the sequences that errors are made of: msgpack has only one kind."""
    if isinstance(field, list):
        return tuple(_as_made(item) for item in field)
    return field
