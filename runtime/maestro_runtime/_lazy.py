"""Packages that load what they export when it is used: a command must not load what it does not."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def loader(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` of a package.

    They are for `if not TYPE_CHECKING`: a type checker that sees a `__getattr__` takes every name
    that is misspelt for an `Any`.

    Args:
        package: Its name.
        homes: Public names, and the module of the package that each is loaded from.
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    def names() -> list[str]:
        # `help` and completion know what is in here, and nothing else.
        return sorted({*vars(sys.modules[package]), *homes})

    return load, names
