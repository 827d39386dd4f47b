"""How a runtime has the methods of its parts."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
PartT = TypeVar("PartT")
R = TypeVar("R")


class Whole(Protocol):
    """What is made of parts, of each kind one."""

    def part(self, kind: type[PartT]) -> PartT:
        """Return the part of a kind."""


def verb(
    kind: type[PartT], method: Callable[Concatenate[PartT, P], R]
) -> Callable[Concatenate[Whole, P], R]:
    """Return the method of a whole that is this one of its part.

    The part has the one definition: the arguments, the types and the contract.
    """

    @wraps(method)
    def done(whole: Whole, /, *args: P.args, **named: P.kwargs) -> R:
        return method(whole.part(kind), *args, **named)

    return done
