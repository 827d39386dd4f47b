"""Evaluates the checks of one contract, one after the other."""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

from maestro_actors import checks
from maestro_actors.checks import TEXT_CHARACTERS_MAX, Check, CheckResult
from maestro_actors.engine import CallOrder
from maestro_actors.text import storable
from maestro_runtime.checks._callable import CallableChecks
from maestro_runtime.checks._command import programs_of, run_program
from maestro_runtime.checks._content import ContentChecks
from maestro_runtime.checks._files import look_at_files
from maestro_runtime.checks._look import Finding, Look, undecided
from maestro_runtime.engines.driver import Driver
from maestro_runtime.engines.protocol import EngineContext
from maestro_runtime.workspace import Fingerprint, Manifest, Workspace

EVIDENCE_FILES_MAX: Final = 50
"""Most files that the evidence of a result lists; the digest of all stands for more."""

ALL_FILES: Final = "*"

Globs = tuple[str, ...]


class Checks:
    """The checker of an engine host. Belongs to the host's event loop.

    Args:
        driver: Starts the processes of checks; closed with this.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._content = ContentChecks(driver)
        self._callables = CallableChecks()

    async def check(
        self, order: CallOrder, before: Mapping[str, Fingerprint], context: EngineContext
    ) -> tuple[CheckResult, ...]:
        """Evaluate every check of the order's contract; see `Checker`."""
        workspace = Workspace(order.workspace)
        known = {result.index: result for result in order.known_checks}
        manifests: dict[Globs, Manifest] = {}
        results = []
        for index, (check, globs) in enumerate(order.contract.owed_checks):
            evidence: dict[str, str] = {}
            try:
                if globs not in manifests:
                    manifests[globs] = await asyncio.to_thread(workspace.manifest, globs)
                evidence = await asyncio.to_thread(_evidence, check, manifests[globs])
                earlier = known.get(index)
                if earlier is not None and _holds(check, earlier, evidence):
                    results.append(msgspec.structs.replace(earlier, reused=True))
                    continue
                look = Look(order, workspace, before, manifests[globs], context)
                finding = await self._finding(check, look)
            except Exception as error:  # noqa: BLE001 - one broken check must not hide the others
                finding = undecided(str(error) or type(error).__name__)
            results.append(_result(index, check, finding, evidence))
        return tuple(results)

    async def close(self) -> None:
        """Kill what runs."""
        self._callables.close()
        await self._driver.close()

    async def _finding(self, check: Check, look: Look) -> Finding:
        """Have one check evaluated by those who can."""
        match check:
            case checks.Human():
                return Finding("pending", 0.0, "no answer yet")
            case checks.Command():
                return await run_program(check, look, self._driver)
            case checks.Callable():
                return await self._callables.ask(check, look)
            case (
                checks.TextRegex() | checks.JsonSchema() | checks.PythonCompiles() | checks.Parses()
            ):
                return await self._content.look(check, look)
            case _:
                return look_at_files(check, look)


def _evidence(check: Check, manifest: Manifest) -> dict[str, str]:
    """Return the digests of what the check looks at. Blocks on the disk."""
    files = {path: found.sha256 for path, found in sorted(manifest.files.items())}
    if len(files) > EVIDENCE_FILES_MAX:
        lines = "".join(f"{path}\0{sha256}\n" for path, sha256 in files.items())
        files = {ALL_FILES: hashlib.sha256(lines.encode()).hexdigest()}
    if isinstance(check, checks.Command) and check.files:
        return files | programs_of(check)
    return files


def _holds(check: Check, earlier: CheckResult, evidence: Mapping[str, str]) -> bool:
    """Tell whether the verdict of the attempt before would be found again."""
    if earlier.kind != check.kind or not evidence or earlier.evidence != evidence:
        return False
    match check:
        case checks.ChangedSinceStart():
            # What an earlier attempt changed, and this one left alone, is changed all the same.
            return earlier.verdict == "pass"
        case checks.Command() | checks.Callable():
            # Without files of its own nobody knows what else it reads.
            return bool(check.files) and earlier.verdict in ("pass", "fail")
        case _:
            return check.PURE and earlier.verdict in ("pass", "fail")


def _result(index: int, check: Check, finding: Finding, evidence: dict[str, str]) -> CheckResult:
    return CheckResult(
        index=index,
        name=check.label,
        kind=check.kind,
        required=check.required,
        verdict=finding.verdict,
        score=finding.score,
        expected=storable(check.expected, TEXT_CHARACTERS_MAX),
        got=storable(finding.got, TEXT_CHARACTERS_MAX),
        evidence=evidence,
    )
