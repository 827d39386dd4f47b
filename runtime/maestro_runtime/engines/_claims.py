"""What an engine says it wrote, held against what is there."""

import re
from collections.abc import Collection, Sequence
from typing import Final

from maestro_runtime.workspace import Glob

CLAIMS_MAX: Final = 20
"""Most missing files that are listed."""

PATH_CHARACTERS_MAX: Final = 200

_QUOTED: Final = re.compile(rf"""[`'"]([^`'"\s]{{1,{PATH_CHARACTERS_MAX}}})(?=[`'"])""")


def claimed_missing(
    message: str, workspace: str, globs: Sequence[str], files: Collection[str]
) -> tuple[str, ...]:
    """Return the paths that `message` quotes, that `globs` match, and that are not in `files`.

    Only what stands in backticks or quotes counts as a claim: a sentence about a file is not one.
    """
    owed = [Glob(pattern) for pattern in globs]
    quoted = dict.fromkeys(
        path.removeprefix(f"{workspace}/").removeprefix("./") for path in _QUOTED.findall(message)
    )
    missing = [
        path
        for path in quoted
        if path not in files
        # A glob that the engine merely repeats is no file it has written.
        and path not in globs
        and any(glob.matches(path) for glob in owed)
    ]
    return tuple(missing[:CLAIMS_MAX])
