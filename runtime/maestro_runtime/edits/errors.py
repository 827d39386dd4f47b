"""Why an edit plan is not applied."""


class EditRejected(ValueError):
    """One edit of a plan does not fit the files, so none of the plan was applied.

    Args:
        block: Which edit of the plan, 1-based.
        path: The file it is about; empty if it names none.
        reason: The rule and what was found instead.
        lines: Where to look, 1-based, in the file as the edits before this one leave it.
    """

    def __init__(self, block: int, path: str, reason: str, lines: tuple[int, ...] = ()) -> None:
        super().__init__(block, path, reason, lines)
        self.block = block
        self.path = path
        self.reason = reason
        self.lines = lines

    def __str__(self) -> str:
        of_path = f" of {self.path!a}" if self.path else ""
        places = ""
        if self.lines:
            listed = ", ".join(str(line) for line in self.lines)
            places = f", see line{'s' if len(self.lines) > 1 else ''} {listed}"
        return f"edit {self.block}{of_path} cannot be applied: {self.reason}{places}"


class Misfit(ValueError):
    """What `EditRejected` says, before it is known which edit of which file it is about."""

    def __init__(self, reason: str, lines: tuple[int, ...] = ()) -> None:
        super().__init__(reason, lines)
        self.reason = reason
        self.lines = lines

    def __str__(self) -> str:
        return self.reason
