"""Variables that a command's environment takes over from the runtime's own: `${NAME}`.

A team is stored whole, so it names secrets instead of holding them.
"""

import re
from collections.abc import Mapping
from typing import Final

_REFERENCE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def named(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the variables that an environment refers to, in order."""
    return tuple(name for value in environment.values() for name in _REFERENCE.findall(value))


def filled(environment: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with the values of the variables it refers to.

    Raises:
        KeyError: One is not in `own`.
    """
    return {
        name: _REFERENCE.sub(lambda found: own[found[1]], value)
        for name, value in environment.items()
    }
