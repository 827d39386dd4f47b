"""What can be wrong with the configuration. All of it is the caller's to mend."""

from typing import ClassVar

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """One finding in a team file."""

    key: str
    """Where, as in `personas.backend_developer.max_attempts`; list items count from 0.

    Empty when the finding is about the whole file.
    """
    text: str
    """The rule and the value got."""

    def __str__(self) -> str:
        return f"{self.key}: {self.text}" if self.key else self.text


class ConfigError(ValueError):
    """Root of every configuration error; nothing has been started or written."""


class FileUnreadable(ConfigError):
    """A file does not exist, or the system refuses to read it."""

    WHAT: ClassVar = "file"

    def __init__(self, path: str, reason: str) -> None:
        # Here and below the fields are the args, so the error survives pickling.
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.WHAT} {self.path} cannot be read: {self.reason}"


class FileInvalid(ConfigError):
    """A file was read and breaks at least one rule; all findings are in `problems`."""

    def __init__(self, path: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(path, problems)
        self.path = path
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(f"{self.path}: {problem}" for problem in self.problems)


class TeamFileUnreadable(FileUnreadable):
    """The team file does not exist, or the system refuses to read it."""

    WHAT: ClassVar = "team file"


class TeamFileInvalid(FileInvalid):
    """The team file was read and breaks at least one rule."""


class DaemonFileUnreadable(FileUnreadable):
    """The configuration of the daemon does not exist, or the system refuses to read it."""

    WHAT: ClassVar = "configuration file"


class DaemonFileInvalid(FileInvalid):
    """The configuration of the daemon was read and breaks at least one rule."""


class ContextInvalid(ConfigError):
    """The context of a run breaks at least one rule; all findings are in `problems`."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(
            f"context {problem}" if problem.key else f"context: {problem}"
            for problem in self.problems
        )


class PolicyInvalid(ConfigError):
    """The policy of a runtime breaks at least one rule; all findings are in `problems`."""

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(source, problems)
        self.source = source
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(f"{self.source}: {problem}" for problem in self.problems)


class RequirementInvalid(ConfigError):
    """The requirement given with `--requirement` cannot be used."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(source, reason)
        self.source = source
        self.reason = reason

    def __str__(self) -> str:
        return f"requirement from {self.source} {self.reason}"


class SettingInvalid(ConfigError):
    """A flag or an environment variable has a value outside its rule."""

    def __init__(self, source: str, rule: str, value: str) -> None:
        super().__init__(source, rule, value)
        self.source = source
        self.rule = rule
        self.value = value

    def __str__(self) -> str:
        return f"{self.source} must be {self.rule}, got {self.value!r}"
