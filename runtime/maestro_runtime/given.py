"""What a caller gives a session in place of phases that are not to run: plain data."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from maestro_runtime.errors import InputsInvalid


def read_given_context(text: bytes) -> dict[str, Any]:
    """Return a context that is written as JSON.

    Raises:
        InputsInvalid: It is not a JSON object.
    """
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputsInvalid("context", f"be a JSON object: {error}") from error


@dataclass(frozen=True, slots=True)
class Given:
    """What is there already when a session starts at a later phase."""

    files: Path | Mapping[str, bytes] = field(default_factory=dict)
    """A directory, or contents by relative path. What the contracts of the earlier phases owe is
    taken from it, and nothing else."""
    context: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else is known, as JSON has it: the `inputs` of every order."""

    @property
    def inputs(self) -> dict[str, Any]:
        """The context as it will be read again.

        Raises:
            InputsInvalid: It is not a JSON object.
        """
        try:
            spelled = msgspec.json.encode(self.context, order="sorted")
            return msgspec.json.decode(spelled, type=dict[str, Any])
        except (TypeError, ValueError, RecursionError) as error:
            raise InputsInvalid("context", f"be a JSON object: {error}") from error

    def name(self) -> bytes:
        """Return a digest of what tells the files from others: where they are, or what they are."""
        if isinstance(self.files, Path):
            return hashlib.sha256(os.fsencode(self.files.absolute())).digest()
        digest = hashlib.sha256()
        for path in sorted(self.files):
            digest.update(path.encode() + b"\0" + hashlib.sha256(self.files[path]).digest())
        return digest.digest()
