"""The checks of a contract as data, and what came of them.

A check says what must hold of files in the workspace. It is plain data, so it is stored with its
team and survives a resume; the runtime evaluates it, `contracts` judges the results.
"""

from typing import Any, ClassVar, Final, Literal

import msgspec

TEXT_CHARACTERS_MAX: Final = 1_000
"""Longest `expected` or `got` of a result."""

CheckVerdict = Literal["pass", "fail", "error", "pending"]
"""error: the check could not be evaluated, which is never a pass; pending: a person decides."""

ParsedFormat = Literal["json", "toml", "yaml", "xml"]


class CheckBase(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """What all checks have in common."""

    PURE: ClassVar[bool] = False
    """The verdict follows from the content of the files alone: equal hashes, equal verdict."""

    name: str = ""
    """For people; the kind stands in for it if it is empty."""
    files: tuple[str, ...] = ()
    """Globs of the files to look at; empty: those of the deliverable, or of the contract."""
    weight: float = 1.0
    """Share in the quality score, above 0; a deliverable weighs 1."""
    required: bool = True
    """False: it counts for the quality score only."""

    @property
    def kind(self) -> str:
        """The word that a team file uses for this kind of check."""
        return str(self.__struct_config__.tag)

    @property
    def label(self) -> str:
        """The name, or the kind if there is none."""
        return self.name or self.kind

    @property
    def expected(self) -> str:
        """What must hold, in a few words."""
        raise NotImplementedError  # every kind answers; the base class is never a check

    def looks_at(self, default: tuple[str, ...]) -> tuple[str, ...]:
        """Return the globs of the files to look at; `default` if the check names none."""
        return self.files or default


class Exists(CheckBase, frozen=True, kw_only=True, tag="exists"):
    """The globs match so many files, all together."""

    min: int = 1
    max: int | None = None

    @property
    def expected(self) -> str:
        """The bounds."""
        most = "" if self.max is None else f" and at most {self.max}"
        return f"at least {self.min}{most} matching files"


class ChangedSinceStart(CheckBase, frozen=True, kw_only=True, tag="changed_since_start"):
    """At least one file was created or changed by this attempt.

    A change by an earlier attempt of the task counts as long as the files are still the same.
    """

    @property
    def expected(self) -> str:
        """Always the same."""
        return "at least 1 file created or changed since the start"


class MinBytes(CheckBase, frozen=True, kw_only=True, tag="min_bytes"):
    """Every file has at least so many bytes."""

    bytes: int

    @property
    def expected(self) -> str:
        """The bound."""
        return f"at least {self.bytes} bytes in every file"


class MaxBytes(CheckBase, frozen=True, kw_only=True, tag="max_bytes"):
    """Every file has at most so many bytes."""

    bytes: int

    @property
    def expected(self) -> str:
        """The bound."""
        return f"at most {self.bytes} bytes in every file"


class TextRegex(CheckBase, frozen=True, kw_only=True, tag="text_regex"):
    """The UTF-8 text of every file has a match of a Python regular expression."""

    PURE: ClassVar[bool] = True

    pattern: str

    @property
    def expected(self) -> str:
        """The pattern."""
        return f"a match of {self.pattern!r} in every file"


class JsonSchema(CheckBase, frozen=True, kw_only=True, tag="json_schema"):
    """Every file is JSON that a schema accepts; draft 2020-12 unless `$schema` says otherwise."""

    PURE: ClassVar[bool] = True

    schema: dict[str, Any]

    @property
    def expected(self) -> str:
        """Always the same; schemas are too long for a sentence."""
        return "JSON that the schema accepts in every file"


class PythonCompiles(CheckBase, frozen=True, kw_only=True, tag="python_compiles"):
    """Every file is Python source that this interpreter compiles; nothing of it is run."""

    PURE: ClassVar[bool] = True

    @property
    def expected(self) -> str:
        """Always the same."""
        return "Python that compiles in every file"


class Parses(CheckBase, frozen=True, kw_only=True, tag="parses"):
    """Every file is well-formed."""

    PURE: ClassVar[bool] = True

    format: ParsedFormat

    @property
    def expected(self) -> str:
        """The format."""
        return f"well-formed {self.format} in every file"


class Command(CheckBase, frozen=True, kw_only=True, tag="command"):
    """A program, run in the workspace without input, ends with a certain exit code.

    Its verdict is used again only if the check names its `files` itself: nobody else knows what
    the program reads.
    """

    argv: tuple[str, ...]
    timeout_seconds: float = 60.0
    """Wall-clock limit, when its process tree is killed and the verdict is "error"."""
    expect_exit: int = 0

    @property
    def expected(self) -> str:
        """The exit code."""
        return f"exit code {self.expect_exit} of {' '.join(self.argv)}"


class NoForbidden(CheckBase, frozen=True, kw_only=True, tag="no_forbidden"):
    """No file, and nothing else but a folder, matches `glob`; `files` has no meaning here."""

    glob: str

    @property
    def expected(self) -> str:
        """The glob."""
        return f"nothing that matches {self.glob!r}"

    def looks_at(self, default: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG002 - see `files`
        """Return the forbidden glob."""
        return (self.glob,)


class Callable(CheckBase, frozen=True, kw_only=True, tag="callable"):
    """A Python function decides: it returns a bool, a score from 0 to 1, or either and a reason.

    Its verdict is used again only if the check names its `files` itself.
    """

    callable: str
    """`module:function`."""
    import_dir: str = ""
    """Absolute directory that it is looked up in first: that of the team file."""

    @property
    def expected(self) -> str:
        """The function."""
        return f"{self.callable} to agree"


class Human(CheckBase, frozen=True, kw_only=True, tag="human"):
    """A person decides."""

    question: str

    @property
    def expected(self) -> str:
        """The question."""
        return f"a person to say yes to {self.question!r}"


Check = (
    Exists
    | ChangedSinceStart
    | MinBytes
    | MaxBytes
    | TextRegex
    | JsonSchema
    | PythonCompiles
    | Parses
    | Command
    | NoForbidden
    | Callable
    | Human
)


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one check after one attempt."""

    index: int
    """Its place in `Contract.owed_checks`, counted from 0."""
    name: str
    kind: str
    required: bool
    verdict: CheckVerdict
    score: float
    """0..1; 1 for a pass and 0 for a fail, or the share of the files that pass."""
    expected: str
    got: str
    evidence: dict[str, str] = {}
    """SHA-256 (hex) of the files it looked at, by path.

    Of more than a few files, one digest over all of them, by the path "*".
    """
    reused: bool = False
    """Taken over from the attempt before, because the evidence is the same."""


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What was found after an attempt whose engine ended well: a payload of the task's record."""

    results: tuple[CheckResult, ...] = ()
    claimed_missing: tuple[str, ...] = ()
    """Files of the contract that the engine says it wrote, and that are not there."""


encode_checked = msgspec.msgpack.Encoder().encode
"""Encode the findings of a task for their payload."""

decode_checked = msgspec.msgpack.Decoder(Checked).decode
"""Decode the findings of a task's last checked attempt from their payload."""
