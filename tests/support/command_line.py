"""The command line as a user has it: a process, its output, its exit code."""

import os
import subprocess
import sys
from pathlib import Path

TEAM = """
[team]
name = "pair"
requirement = "two notes"
[defaults]
backoff_seconds = 0.01
backoff_max_seconds = 0.01
round_backoff_seconds = [0.01]
[personas.writer]
{persona}
[personas.reviewer]
[[phases]]
name = "write"
[[phases]]
name = "check"
after = ["write"]
[[contracts]]
id = "note"
name = "The note"
phase = "write"
provider_persona_id = "writer"
deliverables = [{{ name = "note", artifacts = ["note.md"] }}]
[[contracts]]
id = "review"
name = "The review"
phase = "check"
provider_persona_id = "reviewer"
deliverables = [{{ name = "review", artifacts = ["review.md"] }}]
"""


class CommandLine:
    """Runs `maestro-runtime` in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state_dir = directory / "state"
        self.environment = {
            **{
                name: value for name, value in os.environ.items() if not name.startswith("MAESTRO_")
            },
            "MAESTRO_STATE_DIR": str(self.state_dir),
        }

    def team(self, persona: str = "") -> Path:
        """Write a team of two phases with a contract each; `persona` is added to the writer."""
        path = self.directory / "team.toml"
        path.write_text(TEAM.format(persona=persona))
        return path

    def argv(self, *arguments: object) -> list[str]:
        """Return the argv of a call."""
        return [sys.executable, "-m", "maestro_runtime", *map(str, arguments)]

    def __call__(
        self, *arguments: object, file_size_max: int | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run to the end and return the output and the exit code."""
        limit = [] if file_size_max is None else ["prlimit", f"--fsize={file_size_max}"]
        return subprocess.run(
            [*limit, *self.argv(*arguments)],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        """Start and return at once."""
        return subprocess.Popen(
            self.argv(*arguments),
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
