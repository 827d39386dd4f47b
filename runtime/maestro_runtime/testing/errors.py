"""What a test is told when its script and the runtime do not fit together."""


class TrialError(Exception):
    """Root of the errors of the test kit."""


class TooFewCalls(TrialError):
    """Fewer calls than expected have begun in time."""

    def __init__(self, expected: int, begun: int) -> None:
        super().__init__(expected, begun)
        self.expected = expected
        self.begun = begun

    def __str__(self) -> str:
        return f"calls begun must come to {self.expected} in time, got {self.begun}"


class NothingHeld(TrialError, LookupError):
    """There is no such call that could be released."""

    def __init__(self, name: str | None) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        of = "" if self.name is None else f" of {self.name!r}"
        return f"no call{of} is held"


class NothingMoves(TrialError):
    """A session has not ended, and neither time nor a call in flight will bring it on."""

    def __init__(self, session_id: str, waits_for: tuple[str, ...]) -> None:
        super().__init__(session_id, waits_for)
        self.session_id = session_id
        self.waits_for = waits_for
        """What each of its tasks waits for that has not ended."""

    def __str__(self) -> str:
        return f"session {self.session_id!r} does not move on: {'; '.join(self.waits_for)}"


class NeverStill(TrialError):
    """Something moves all the time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"the runtime must come to rest within {self.seconds:g} s"


class RuntimeDied(TrialError):
    """The runtime has died, as it was told to; the trial has to be restarted."""

    def __init__(self, commit: int) -> None:
        super().__init__(commit)
        self.commit = commit
        """The commit at which it died, 1 being the first one since its start."""

    def __str__(self) -> str:
        return f"the runtime has died at commit {self.commit}"
