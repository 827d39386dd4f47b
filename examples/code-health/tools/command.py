"""What the command tools share: where they read, and what they tell the runtime.

Next to the commands, so Python finds it when it runs one of them as a script.
"""

import json
import os
from pathlib import Path
from typing import Any


def input_dir() -> Path:
    """Return the source tree."""
    if "MAESTRO_INPUT_DIR" not in os.environ:
        raise SystemExit("there is no source tree: run the team with --input DIR")
    return Path(os.environ["MAESTRO_INPUT_DIR"])


def inventory() -> dict[str, Any]:
    """Return the result of the survey phase; the current folder is the workspace."""
    found: dict[str, Any] = json.loads(Path("results/inventory.json").read_text())
    return found


def finish(result_file: str, result: dict[str, Any], message: str) -> None:
    """Write a result, and tell the runtime that no tokens were used."""
    Path(result_file).write_text(json.dumps(result, indent=1))
    usage = {"input_tokens": 0, "output_tokens": 0}
    if "MAESTRO_RESULT" in os.environ:
        told = json.dumps({"usage": usage, "message": message})
        Path(os.environ["MAESTRO_RESULT"]).write_text(told)
    print(message)
