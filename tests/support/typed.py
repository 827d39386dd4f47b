"""Commands of the command line as they are typed, in processes that begin with all imported."""

import os
import sys
from pathlib import Path
from typing import NamedTuple

import forked
from maestro_runtime.cli import main


class Typed(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    err: str


def typed(directory: Path, *arguments: object) -> Typed:
    """Run a command to its end in a directory, on the state below it."""
    out, err = directory / ".out", directory / ".err"
    try:
        code = forked.run(_main, str(directory), str(out), str(err), tuple(map(str, arguments)))
    except TimeoutError as error:
        error.add_note(f"{arguments}: {err.read_text()}")
        raise
    return Typed(code, out.read_text(), err.read_text())


def _main(directory: str, out: str, err: str, arguments: tuple[str, ...]) -> None:
    os.chdir(directory)
    os.environ["MAESTRO_STATE_DIR"] = str(Path(directory, "state"))
    sys.argv = ["maestro-runtime", *arguments]
    for path, stream in ((out, sys.stdout), (err, sys.stderr)):
        with Path(path).open("w", encoding="utf-8") as file:
            os.dup2(file.fileno(), stream.fileno())
    main()
