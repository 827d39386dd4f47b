"""The shape of JSON that the command line prints: a promise, kept in golden files."""

from pathlib import Path
from typing import Any, Final

GOLDEN: Final = Path(__file__).parents[1] / "integration" / "cli" / "golden"

Shape = dict[str, list[str]]


def shape(value: Any, path: str = "$", found: Shape | None = None) -> Shape:
    """Return the types at every place of a JSON value; the items of a list share one place.

    The name of the schema stands for itself.
    """
    found = {} if found is None else found
    name = "null" if value is None else type(value).__name__
    if path == "$.schema":
        name = value
    found[path] = sorted({*found.get(path, []), name})
    if isinstance(value, dict):
        for key, item in value.items():
            shape(item, f"{path}.{key}", found)
    elif isinstance(value, list):
        for item in value:
            shape(item, f"{path}[]", found)
    return found
