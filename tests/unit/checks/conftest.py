"""A workspace with files, and the checker over it, with its real processes."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from maestro_actors.checks import Check, CheckResult
from maestro_actors.engine import CallOrder, ProcessIdentity
from maestro_actors.team import Contract, Deliverable, Persona
from maestro_runtime.checks import Checks
from maestro_runtime.engines import EngineContext
from maestro_runtime.engines.driver import Driver
from maestro_runtime.workspace import Workspace

Evaluate = Callable[..., CheckResult]


async def _recorded(process: ProcessIdentity) -> None:
    """Accept any process at once."""


class Bench:
    """Evaluates checks of a contract that owes `*`, over the files of one workspace."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

    def write(self, files: Mapping[str, bytes | str]) -> None:
        for path, content in files.items():
            place = self.root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content.encode() if isinstance(content, str) else content)

    def order(self, *checks: Check, known: tuple[CheckResult, ...] = ()) -> CallOrder:
        return CallOrder(
            session_id="s-1",
            task_id="c-1",
            call_id=secrets.token_hex(16),
            round=1,
            attempt=1,
            ordinal=1,
            persona=Persona(persona_id="dev"),
            contract=Contract(
                id="c-1",
                name="c",
                phase="p",
                provider_persona_id="dev",
                deliverables=(Deliverable(name="all", artifacts=("*",)),),
                checks=checks,
            ),
            requirement="r",
            workspace=str(self.root),
            known_checks=known,
        )

    def all(
        self,
        *checks: Check,
        known: tuple[CheckResult, ...] = (),
        written: Mapping[str, bytes | str] | None = None,
        content_seconds: float | None = None,
        callable_seconds: float | None = None,
    ) -> tuple[CheckResult, ...]:
        """Evaluate; `written` appears after the look before the attempt."""
        order = self.order(*checks, known=known)
        before = Workspace(self.root).manifest(("*",)).files
        self.write(written or {})

        async def main() -> tuple[CheckResult, ...]:
            checker = Checks(Driver("test-checks"))
            if content_seconds is not None:
                checker._content._limit_seconds = content_seconds
            if callable_seconds is not None:
                checker._callables._limit_seconds = callable_seconds
            try:
                return await checker.check(order, before, EngineContext(_recorded))
            finally:
                await checker.close()

        return asyncio.run(main())

    def one(self, check: Check, **options: Any) -> CheckResult:
        (result,) = self.all(check, **options)
        return result


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "workspace")
