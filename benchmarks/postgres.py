"""A PostgreSQL server with its defaults (so it waits for the disk), for one run."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from measure import Options

DEBIAN: Final = Path("/usr/lib/postgresql")
"""Where Debian keeps its programs, by version and not on the path."""
UNPRIVILEGED: Final = "postgres"
"""Who runs the server if we are root, whom it refuses; the package has made this user."""


@contextmanager
def served_postgres(options: Options) -> Iterator[str | None]:
    """Lend the URL of an empty database of its own; None if PostgreSQL is absent, or not wanted.

    It listens on a socket in its scratch directory, and on no port.

    Raises:
        subprocess.CalledProcessError: It does not start, or does not end.
    """
    programs = _programs()
    if programs is None or not options.with_peers:
        yield None
        return
    user = UNPRIVILEGED if os.geteuid() == 0 else None
    with options.scratch() as directory:
        if user is not None:
            shutil.chown(directory, user)
        data = str(directory / "data")

        def call(program: str, *arguments: str) -> None:
            subprocess.run(  # noqa: S603 - a program of the package
                [programs / program, "-D", data, *arguments],
                check=True,
                stdout=subprocess.DEVNULL,
                user=user,
                group=user,
                extra_groups=None if user is None else (),
            )

        call("initdb", "--auth=trust", "--username=bench", "--no-instructions")
        log, listen = str(directory / "log"), f"-k {directory} -h ''"
        call("pg_ctl", "start", "--wait", f"--log={log}", f"--options={listen}")
        try:
            yield f"postgresql+psycopg://bench@/bench?host={directory}"
        finally:
            call("pg_ctl", "stop", "--wait", "--mode=fast")


def _programs() -> Path | None:
    """Return the folder of its programs, the newest; None if there is none."""
    folders = sorted(DEBIAN.glob("*/bin"), key=lambda path: float(path.parent.name))
    found = shutil.which("pg_ctl", path=os.pathsep.join(map(str, reversed(folders))))
    found = found or shutil.which("pg_ctl")
    return None if found is None else Path(found).parent
