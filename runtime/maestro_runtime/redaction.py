"""Secrets that this process knows, and texts without them.

A secret is found by its value, however short and wherever it stands, because its form tells
nothing: what looks like no key is one all the same. It is found as it is, and as JSON, URLs, `repr`
and base64 spell it.
"""

import base64
import json
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, quote_plus, urlsplit

from maestro_runtime.engines._variables import named

if TYPE_CHECKING:
    from maestro_actors.team import Team

MASK: Final = "***"
"""What stands where a secret was."""

SECRET_CHARACTERS_MIN: Final = 4
"""Shorter values are no secrets: they would be found in every second word."""

CUT_CHARACTERS: Final = 500
"""A text of at least this length may have been cut off in the middle of a secret."""

_BASE64_CHARACTERS_MIN: Final = 8
"""Shortest piece of base64 that tells a secret from chance."""

_FOLLOWING: Final = range(0x80, 0xC0)
"""Bytes of a character of UTF-8 but its first."""

_LINE_CHARACTERS_MIN: Final = 16
"""Shortest line of a secret with several that is one by itself."""

_SECRET_NAME: Final = re.compile(
    r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|WEBHOOK", re.IGNORECASE
)
_FIGURE_NAME: Final = re.compile(
    r"(?:^|_)(?:BUDGET|COUNT|LIMIT|MAX|MIN|SECONDS|SIZE|TIMEOUT|TOKENS)(?:_|$)", re.IGNORECASE
)
_OPTION_NAME: Final = re.compile(
    r"(?:^|[_-])(?:(?:api|access|private|secret)[_-]?key|token|secret|password|passwd|credentials?)$",
    re.IGNORECASE,
)
"""Stricter than for variables: names of options are words of their engine, such as `keywords`."""

_PLAIN: Final = frozenset({"true", "false", "null", "none", "auto", "always", "never"})


class Secret(str):
    """A value that configuration holds and nobody is to read: its `repr` does not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)


class Redactor:
    """Takes known secrets out of texts. Any thread; a line costs 50 ns for each spelling."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._known: Counter[str] = Counter()
        """How often each secret was learned and not forgotten."""
        self._spelled: Counter[str] = Counter()
        """How many secrets are spelled in this way."""
        self._spellings: tuple[str, ...] = ()
        self._bytes: tuple[bytes, ...] = ()
        self.reach_bytes = 0
        """Size of the longest spelling of a secret; 0 if none is known."""
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Know more secrets from now on; of a URL, the user and the password in it."""
        learned = _known_by(secrets)
        with self._lock:
            new = [secret for secret in learned if secret not in self._known]
            self._known.update(learned)
            for secret in new:
                self._spelled.update(set(_spellings(secret)))
            if new:
                self._look_for_spelled()

    def forget(self, secrets: Iterable[str]) -> None:
        """Take one `learn` of the same secrets back; what was learned twice stays known."""
        learned = _known_by(secrets)
        with self._lock:
            self._known.subtract(learned)
            gone = [secret for secret in learned if self._known[secret] == 0]
            for secret in gone:
                del self._known[secret]
                self._spelled.subtract(set(_spellings(secret)))
            if gone:
                self._spelled = +self._spelled
                self._look_for_spelled()

    def _look_for_spelled(self) -> None:
        """Have texts searched for what is known by now. Under the lock."""
        # The longest first: what it contains must not be taken out of it.
        self._spellings = tuple(sorted(self._spelled, key=lambda item: (-len(item), item)))
        self._bytes = tuple(_encoded(spelling) for spelling in self._spellings)
        self.reach_bytes = max(map(len, self._bytes), default=0)

    def clean(self, text: str) -> str:
        """Return a text without secrets, and without the beginning of one at its cut-off end."""
        for spelling in self._spellings:
            if spelling in text:
                text = text.replace(spelling, MASK)
        return self._closed(text) if len(text) >= CUT_CHARACTERS else text

    def clean_bytes(self, data: bytes, *, is_tail: bool = False) -> bytes:
        """Return what a program has said without secrets, whatever else is in it.

        Args:
            data: What it has said.
            is_tail: It may begin in the middle of a secret: the end of one there goes with it.
        """
        for spelling in self._bytes:
            if spelling in data:
                data = data.replace(spelling, MASK.encode())
        return self._opened(data) if is_tail else data

    def cut(self, data: bytes, begin: int, end: int) -> int:
        """Return where a piece of UTF-8 from `begin` may end, so that no secret is cut in two.

        That is `end`, or before it, where a character or a secret lies across. Secrets that overlap
        from end to end without a gap are cut at `end`: to take one out leaves none of them whole.

        Args:
            data: What is to be cut, with at least `reach_bytes` behind `end`.
            begin: Of the piece.
            end: Of the piece, if nothing lies across; before the end of `data`.
        """
        place = whole = _character(data, end)
        before = None
        while place != before:
            before = place
            for spelling in self._bytes:
                size = len(spelling)
                # Where it begins before the place and ends behind it.
                found = data.find(spelling, max(begin, place - size + 1), place + size - 1)
                if found >= 0:
                    place = found
        return place if place > begin else whole

    def cleaned(self, value: Any) -> Any:
        """Return a value of JSON with secrets taken out of its texts, keys and figures."""
        if isinstance(value, str):
            return self.clean(value)
        if isinstance(value, Mapping):
            return {self.cleaned(key): self.cleaned(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.cleaned(item) for item in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            text = str(value)
            return value if self.clean(text) == text else MASK
        return value

    def changes(self, texts: Iterable[str]) -> bool:
        """Whether `clean` may change one of several texts; quicker than cleaning them."""
        if not self._spellings:
            return False
        said = "\n".join(texts)
        return len(said) >= CUT_CHARACTERS or any(item in said for item in self._spellings)

    def _closed(self, text: str) -> str:
        """Return a text without the beginning of a secret at its end."""
        for spelling in self._spellings:
            head = spelling[:SECRET_CHARACTERS_MIN]
            begin = text.find(head, max(0, len(text) - len(spelling) + 1))
            while begin >= 0:
                if spelling.startswith(text[begin:]):
                    return text[:begin] + MASK
                begin = text.find(head, begin + 1)
        return text

    def _opened(self, data: bytes) -> bytes:
        """Return bytes without the end of a secret at their beginning."""
        for spelling in self._bytes:
            last = spelling[-SECRET_CHARACTERS_MIN:]
            begin = data.rfind(last, 0, len(spelling) - 1)
            while begin >= 0:
                end = begin + len(last)
                if spelling.endswith(data[:end]):
                    return MASK.encode() + data[end:]
                begin = data.rfind(last, 0, end - 1)
        return data


def environment_secrets(environ: Mapping[str, str]) -> list[str]:
    """Return the values of variables whose names say that they are secret.

    Those have KEY, TOKEN, SECRET, PASSWORD, PASSWD, CREDENTIAL or WEBHOOK in them, in any case.
    Figures of variables that limit or count something (MAX_TOKENS) are none.
    """
    return [
        value
        for name, value in environ.items()
        if _SECRET_NAME.search(name) and not (_FIGURE_NAME.search(name) and value.isdecimal())
    ]


def team_secrets(team: "Team", environ: Mapping[str, str]) -> list[str]:
    """Return what a team's personas are given as a secret.

    That is what their programs are given of `environ`, in variables whose names say so, or as
    arguments (`--api-key KEY`, `--token=TOKEN`); and texts among the options of their engines under
    names that end in `api_key`, `token`, `secret`, `password` or `credential`.
    """
    found: list[str] = []
    for persona in team.personas.values():
        found += _option_secrets(persona.options)
        if persona.command is not None:
            environment = persona.command.environment
            found += _argument_secrets(persona.command.argv)
            found += environment_secrets(environment)
            found += (environ[name] for name in named(environment) if name in environ)
    return found


def _option_secrets(options: object) -> Iterator[str]:
    """Yield the secrets among options, however deep they lie."""
    if isinstance(options, Mapping):
        for name, value in options.items():
            if isinstance(value, str):
                if _OPTION_NAME.search(name):
                    yield value
            else:
                yield from _option_secrets(value)
    elif isinstance(options, list | tuple):
        for item in options:
            yield from _option_secrets(item)


def _argument_secrets(argv: Sequence[str]) -> Iterator[str]:
    """Yield the secrets among the arguments of a program."""
    for argument, following in zip_longest(argv, argv[1:], fillvalue=""):
        name, equals, value = argument.partition("=")
        if name.startswith("-") and _OPTION_NAME.search(name):
            yield value if equals else following


def _known_by(secrets: Iterable[str]) -> set[str]:
    """Return what a redactor looks for of secrets, each once."""
    return {part for secret in secrets for part in _parts(secret) if _is_secret(part)}


def _is_secret(value: str) -> bool:
    return len(value) >= SECRET_CHARACTERS_MIN and value.lower() not in _PLAIN


def _parts(secret: str) -> Iterator[str]:
    """Yield a secret, its long lines if it has several, and who signs in by it if it is a URL."""
    yield secret.strip()
    if "\n" in secret:
        lines = (line.strip() for line in secret.splitlines())
        yield from (
            line for line in lines if len(line) >= _LINE_CHARACTERS_MIN and line[:5] != "-----"
        )
    if "://" in secret and "@" in secret:
        try:
            parts = urlsplit(secret)
        except ValueError:
            return
        yield from (part for part in (parts.username, parts.password) if part)


def _spellings(secret: str) -> Iterator[str]:
    """Yield a secret as it may be spelled."""
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    data = _encoded(secret)
    for spelled in (quote(data), quote(data, safe=""), quote_plus(data)):
        yield spelled
        yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), spelled)
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(data).decode().rstrip("=")
        # In the middle of other bytes, as in `user:password`: all but the characters that depend
        # on its neighbours.
        for shift in range(3):
            skipped = -(-shift * 8 // 6)
            piece = encode(b"\0" * shift + data).decode()[skipped : (shift + len(data)) * 8 // 6]
            if len(piece) >= _BASE64_CHARACTERS_MIN:
                yield piece


def _character(data: bytes, place: int) -> int:
    """Return the place, or before it where the character of UTF-8 begins that lies across."""
    back = range(place, max(0, place - 4), -1)
    return next((at for at in back if data[at] not in _FOLLOWING), place)


def _encoded(text: str) -> bytes:
    # The environment hands over undecodable bytes as lone surrogates.
    return text.encode(errors="surrogateescape")
