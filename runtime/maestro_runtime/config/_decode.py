"""Strict decoding of parsed TOML into frozen Structs, with every error and not only the first.

msgspec stops at the first error, so this walks the containers itself and leaves only the single
values to msgspec. A kind is a Struct all of whose fields have defaults, `dict[str, kind]`,
`tuple[kind, ...]`, `Any` (plain data), or a scalar, with `msgspec.Meta` or without. If a Struct has
`KINDS`, the table's own key `kind` chooses among those.
"""

import math
from collections.abc import Collection, Mapping
from functools import cache
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from maestro_runtime.config._problems import KeyPath, Problems, shown, unknown

PLAIN_DEPTH_MAX: Final = 32
"""Deepest nesting of free parameters; the whole value has to fit into a journal record."""
INTEGER_BITS_MAX: Final = 63
"""Larger integers do not survive msgpack."""

_NOUNS: Final = {bool: "true or false", float: "a number", int: "an integer", str: "a string"}

S = TypeVar("S", bound=msgspec.Struct)


def decode_table(value: object, kind: type[S], path: KeyPath, problems: Problems) -> S:
    """Return the table as a `kind`; a broken value is noted and leaves its field at the default."""
    if not isinstance(value, dict):
        problems.add(path, f"must be a table, got {shown(value)}")
        return kind()
    kinds: dict[str, type[S]] | None = getattr(kind, "KINDS", None)
    if kinds is not None:
        chosen = value.get("kind")
        if not isinstance(chosen, str) or chosen not in kinds:
            problems.add((*path, "kind"), _unknown_kind(chosen, kinds))
            # Which keys it may have cannot be told, so nothing is said of them.
            return kind()
        kind = kinds[chosen]
    known = _fields(kind)
    given = {}
    for name, item in value.items():
        if name not in known:
            problems.add((*path, name), unknown(name, "key", known))
            continue
        decoded = _decode(item, known[name], (*path, name), problems)
        if decoded is not msgspec.UNSET:
            given[name] = decoded
    return kind(**given)


@cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the type of each field, without the `UnsetType` that says it may be left out."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: _without_unset(hints[name]) for name in kind.__struct_fields__}


def _unknown_kind(chosen: object, kinds: Collection[str]) -> str:
    """Word that a table does not say, or says wrongly, of which kind it is."""
    if chosen is None:
        return f"is required (known: {', '.join(sorted(kinds))})"
    if not isinstance(chosen, str):
        return f"must be a string, got {shown(chosen)}"
    return unknown(chosen, "kind of check", kinds)


def _without_unset(hint: Any) -> Any:
    """Return `kind` for `kind | UnsetType`, anything else as it is."""
    members = get_args(hint)
    return members[0] if msgspec.UnsetType in members else hint


def _decode(value: object, kind: Any, path: KeyPath, problems: Problems) -> Any:
    """Return the value as `kind`, or UNSET after noting what is wrong with it."""
    origin = get_origin(kind)
    if kind is Any:
        return value if _is_plain(value, path, problems) else msgspec.UNSET
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return decode_table(value, kind, path, problems)
    if origin is dict:
        return _decode_named(value, get_args(kind)[1], path, problems)
    if origin is tuple:
        return _decode_list(value, get_args(kind)[0], path, problems)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        problems.add(path, f"must be {_rule(kind)}, got {shown(value)}")
        return msgspec.UNSET


def _rule(kind: Any) -> str:
    """Word what a single value has to be, with both bounds of a number at once."""
    if get_origin(kind) is not Annotated:
        return _NOUNS[kind]
    base, meta = get_args(kind)
    lower = f"of at least {meta.ge}" if meta.gt is None else f"above {meta.gt}"
    return f"{_NOUNS[base]} {lower} and at most {meta.le}"


def _decode_named(value: object, kind: Any, path: KeyPath, problems: Problems) -> Any:
    """Decode a table whose keys the user chooses; broken entries are left out."""
    if not isinstance(value, dict):
        problems.add(path, f"must be a table, got {shown(value)}")
        return msgspec.UNSET
    items = {name: _decode(item, kind, (*path, name), problems) for name, item in value.items()}
    return {name: item for name, item in items.items() if item is not msgspec.UNSET}


def _decode_list(value: object, kind: Any, path: KeyPath, problems: Problems) -> Any:
    """Decode a list; with a broken single value in it, the list as a whole counts as broken.

    Tables always decode to something, so a list of tables keeps its indexes.
    """
    if not isinstance(value, list):
        problems.add(path, f"must be a list, got {shown(value)}")
        return msgspec.UNSET
    items = [_decode(item, kind, (*path, at), problems) for at, item in enumerate(value)]
    return msgspec.UNSET if msgspec.UNSET in items else tuple(items)


def _is_plain(value: object, path: KeyPath, problems: Problems, depth: int = 1) -> bool:
    """Note everything in a free parameter that JSON and msgpack would not carry unchanged."""
    if depth > PLAIN_DEPTH_MAX:
        problems.add(path, f"must be nested at most {PLAIN_DEPTH_MAX} deep")
        return False
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        # Not all(...) of a generator: it would stop at the first finding.
        found = [_is_plain(item, (*path, at), problems, depth + 1) for at, item in pairs]
        return all(found)
    fits = (
        isinstance(value, str | bool)
        or (isinstance(value, int) and value.bit_length() <= INTEGER_BITS_MAX)
        or (isinstance(value, float) and math.isfinite(value))
    )
    if not fits:
        problems.add(
            path,
            "must be a string, a boolean, a finite number, a list or a table, "
            f"and integers below 2**{INTEGER_BITS_MAX}, got {shown(value)}",
        )
    return fits


def plain(value: Any) -> Any:
    """Return what a program gives as a team file would have it."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
