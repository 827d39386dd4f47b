"""Every public error comes back as the class it is, with its fields, by socket and by pickle."""

import inspect
import pickle
from decimal import Decimal
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pykka
import pytest

from maestro_runtime.wire.errors import RemoteFailure
from maestro_runtime.wire.faults import _classes, error_of, refusal
from maestro_runtime.wire.frames import Refusal


def sample(kind: Any) -> Any:  # noqa: PLR0911 - one for each kind of type
    """Return a value of a type."""
    origin, arguments = get_origin(kind), get_args(kind)
    plain = {str: "text", int: 7, float: 0.5, bool: True, bytes: b"\0\1"}
    plain |= {Any: "any", object: "any"}
    if kind in plain:
        return plain[kind]
    if origin in (Union, UnionType):
        return sample(arguments[0])
    if origin is Literal:
        return arguments[0]
    if origin is tuple:
        inner = arguments[:1] if arguments[-1] is Ellipsis else arguments
        return tuple(sample(argument) for argument in inner)
    if origin is dict:
        return {sample(arguments[0]): sample(arguments[1])}
    if kind is Decimal:
        return Decimal("1.5")
    if getattr(origin, "__name__", "") in ("Sequence", "Collection", "Iterable"):
        return (sample(arguments[0]),)
    if issubclass(kind, type(None)):
        return None
    hints = get_type_hints(kind)
    return kind(**{name: sample(hints[name]) for name in _fields(kind)})


def _fields(kind: Any) -> list[str]:
    parameters = inspect.signature(kind).parameters.values()
    return [item.name for item in parameters if item.default is inspect.Parameter.empty]


def made(kind: type[Exception]) -> Exception:
    if kind in (pykka.ActorDeadError, pykka.Timeout):
        return kind("words")
    own = kind.__init__
    if not inspect.isfunction(own):
        return kind("words")
    hints = get_type_hints(own)
    positional = [
        name
        for name, item in list(inspect.signature(own).parameters.items())[1:]
        if item.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    return kind(*(sample(hints[name]) for name in positional))


PUBLIC = sorted(_classes().values(), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_an_error_comes_back_as_it_was_raised(kind: type[Exception]) -> None:
    error = made(kind)

    frame = msgspec.msgpack.encode(refusal(7, error))
    back = error_of(msgspec.msgpack.decode(frame, type=Refusal))
    thawed = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own

    for copy in (back, thawed):
        assert type(copy) is kind
        assert str(copy) == str(error)
        assert copy.args == error.args
        assert vars(copy) == vars(error)


def test_there_are_errors_to_look_at() -> None:
    names = {kind.__name__ for kind in PUBLIC}

    assert {"TeamFileInvalid", "NotFound", "HelpNeeded", "SessionsNotHosted"} <= names
    assert len(names) > 60


@pytest.mark.parametrize(
    "refused",
    [
        Refusal(id=1, kind="NoSuchError", fields=(1,), text="what it says"),
        Refusal(id=1, kind="NotFound", fields=(1, 2, 3), text="what it says"),
        Refusal(id=1, kind="SessionConflict", fields=({"a": 1},), text="what it says"),
    ],
)
def test_an_error_that_is_not_known_here_comes_with_its_words(refused: Refusal) -> None:
    error = error_of(refused)

    assert isinstance(error, RemoteFailure)
    assert "what it says" in str(error)
