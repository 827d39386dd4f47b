"""Versions: digests of what a session was started with, so that a change does not go unseen."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final, Literal

import msgspec

from maestro_actors.team import Team

_encode: Final = msgspec.msgpack.Encoder(order="sorted").encode


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One contract, one persona, or the engine of one persona, as it was."""

    kind: Literal["contract", "persona", "engine"]
    name: str
    """Of the contract or the persona."""
    digest: str
    """Hex SHA-256 of what the team says of it; of an engine, what the engine says of itself."""


decode_versions: Final = msgspec.msgpack.Decoder(tuple[Version, ...]).decode
"""Decode the versions of a session from their payload."""


def versions_of(team: Team, engines: Mapping[str, str]) -> tuple[Version, ...]:
    """Return the versions of all that a team consists of.

    Args:
        team: As it is stored.
        engines: What the engine of each persona says of itself, by persona.
    """
    return (
        *(_version("contract", contract.id, contract) for contract in team.contracts),
        *(_version("persona", name, persona) for name, persona in sorted(team.personas.items())),
        *(
            Version(kind="engine", name=name, digest=digest)
            for name, digest in sorted(engines.items())
        ),
    )


def _version(kind: Literal["contract", "persona"], name: str, part: msgspec.Struct) -> Version:
    return Version(kind=kind, name=name, digest=sha256(_encode(part)).hexdigest())
