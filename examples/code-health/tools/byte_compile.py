"""Compile every Python file of the tree in memory; nothing is written, nothing is run."""

import warnings
from pathlib import Path
from typing import Any

from command import finish, input_dir, inventory

COMPILED_BYTES_MAX = 4 << 20
"""A larger file is not compiled (4 MiB); it is reported as left out."""


def main() -> None:
    """Write `results/byte_compile.json`."""
    root = input_dir()
    files = [file for file in inventory()["files"] if file["language"] == "Python"]
    failures = []
    skipped = []
    warned = 0
    for file in files:
        if file["bytes"] > COMPILED_BYTES_MAX:
            skipped.append({"path": file["path"], "reason": "too large"})
            continue
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            failure = compile_failure(root / file["path"])
        warned += len(caught)
        if failure is not None:
            failures.append({"path": file["path"], **failure})
    result = {
        "files": len(files),
        "failures": failures,
        "skipped": skipped,
        "warnings": warned,
    }
    finish(
        "results/byte_compile.json",
        result,
        f"{len(files)} Python files, {len(failures)} do not compile",
    )


def compile_failure(path: Path) -> dict[str, Any] | None:
    """Return line and reason if the file does not compile."""
    try:
        compile(path.read_bytes(), path.name, "exec", dont_inherit=True)
    except SyntaxError as error:
        return {"line": error.lineno, "reason": f"{type(error).__name__}: {error.msg}"}
    # A NUL, nesting beyond what the compiler takes, a file that vanished or cannot be read.
    except (ValueError, RecursionError, MemoryError, OverflowError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return {"line": None, "reason": f"{type(error).__name__}: {reason}"}
    return None


if __name__ == "__main__":
    main()
