"""Names that are derived, never drawn: addresses of actors and ids of calls."""

from hashlib import blake2b
from typing import Final

ACCOUNTANT_ADDRESS: Final = "urn:maestro:accountant"
HELP_DESK_ADDRESS: Final = "urn:maestro:help-desk"


_CALL: Final = blake2b(digest_size=16, person=b"maestro.call")
"""Copied for each call, at half of what it takes to make one."""


def breaker_address(engine: str) -> str:
    """Return the address of the circuit breaker of `engine`."""
    return f"urn:maestro:breaker/{engine}"


def coordinator_address(session_id: str) -> str:
    """Return the address of the coordinator of a session."""
    return f"urn:maestro:session/{session_id}"


def persona_address(session_id: str, task_id: str) -> str:
    """Return the address of the persona that works on a task."""
    return f"urn:maestro:session/{session_id}/{task_id}"


def call_id_of(session_id: str, task_id: str, round_: int, attempt: int) -> bytes:
    """Return the id of a call: 16 bytes, the same for the same place in the same session.

    A replay of an attempt has the id it had before, so nothing can book it twice; another attempt
    has another id, because it is another bill. Names contain no zero byte.
    """
    place = f"{session_id}\0{task_id}\0{round_}\0{attempt}".encode()
    digest = _CALL.copy()
    digest.update(place)
    return digest.digest()


def fraction_of(place: str) -> float:
    """Return a number in [0, 1) that depends on nothing but what `place` says: seed and names."""
    return int.from_bytes(blake2b(place.encode(), digest_size=7).digest(), "big") / (1 << 56)
