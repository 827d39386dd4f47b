"""Errors that travel: the class by its name, the fields it was made of, the words it says."""

import inspect
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from itertools import zip_longest
from typing import Any, Final, get_type_hints

import msgspec
import pykka

from maestro_runtime.wire.errors import RemoteFailure
from maestro_runtime.wire.frames import Refusal

_MODULES: Final = (
    "maestro_storage.errors",
    "maestro_actors.errors",
    "maestro_actors.ledger.errors",
    "maestro_runtime.errors",
    "maestro_runtime.config.errors",
    "maestro_runtime.workspace",
    "maestro_runtime.team_engine.errors",
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
        try:
            return kind(*_as_made(kind, refused.fields))
        except (TypeError, ValueError):
            # A class that another release makes of other fields.
            pass
    return RemoteFailure(refused.kind, refused.text)


@cache
def _classes() -> dict[str, type[Exception]]:
    kinds: list[type[object]] = [pykka.ActorDeadError, pykka.Timeout]
    for module in map(import_module, _MODULES):
        kinds += [item for _, item in inspect.getmembers(module, inspect.isclass)]
    return {kind.__name__: kind for kind in kinds if issubclass(kind, Exception)}


def _as_made(kind: type[Exception], fields: tuple[object, ...]) -> Iterator[object]:
    """Yield the fields as the class is made of them: msgpack knows fewer types.

    Raises:
        msgspec.ValidationError: They are others.
    """
    for field, wanted in zip_longest(fields, _wanted(kind)[: len(fields)]):
        yield _plain(field) if wanted in {None, object} else msgspec.convert(field, wanted)


def _wanted(kind: type[Exception]) -> tuple[Any, ...]:
    """Return the types that a class of ours is made of, as far as they are positional."""
    made = getattr(kind, "__init__", None)
    if not inspect.isfunction(made):
        return ()
    hints = get_type_hints(made)
    names = [
        name
        for name, parameter in inspect.signature(made).parameters.items()
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    return tuple(hints.get(name) for name in names[1:])


def _plain(field: Any) -> Any:
    """Return a field with the sequences that errors are made of."""
    if isinstance(field, list):
        return tuple(_plain(item) for item in field)
    return field
