"""How a session begins: its directories, what is given to it, and its first transition."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from maestro_actors.engine import Artifact, Outcome
from maestro_actors.sessions.plan import plan_until, require_plan
from maestro_actors.sessions.session import (
    KeptTask,
    NewSession,
    Origin,
    Particulars,
    opening_transition,
)
from maestro_actors.tasks.contracts import judge
from maestro_actors.team import Contract, Team
from maestro_runtime.checkpoints._files import content_of, fill
from maestro_runtime.checkpoints._report import latest_files
from maestro_runtime.errors import DirectoryUnusable, GivenMissing
from maestro_runtime.given import Given
from maestro_runtime.session import SessionOrder
from maestro_runtime.starting.directories import (
    own_workspace,
    require_makeable,
    usable_input,
    usable_output,
)
from maestro_runtime.workspace import Fingerprint, Glob, Manifest, Workspace, diff
from maestro_storage import Store
from maestro_storage.transition import Transition


def opening(
    store: Store,
    order: SessionOrder,
    session_id: str,
    now_ms: int,
    *,
    particulars: Particulars,
    takes_place: Callable[[], bool],
) -> Transition:
    """Return the first transition of the session of an order, with its directories made.

    Given files are in the workspace before the session is on record: a kill in between leaves the
    files and no session, and the same order again uses them.

    Args:
        store: Will have the session.
        order: Checked.
        session_id: Of no session yet.
        now_ms: Wall clock.
        particulars: What is noted of it.
        takes_place: Called once nothing can be refused any more; False: it is queued.

    Raises:
        PlanInvalid, PhaseNotReady: A phase is unknown, or the plan cannot be kept.
        GivenMissing: A contract of a phase before the first one owes a file that is not given.
        DirectoryUnusable: A directory cannot be used.
        ArtifactMismatch: A given file changes meanwhile, or the workspace has another version.
    """
    team, start_at = order.team, order.start_at
    require_plan(team, order.plan, () if start_at is None else _before(team, start_at))
    output_dir = order.output_dir or own_workspace(order.base_dir, session_id)
    origin = None
    if start_at is None:
        place = usable_output(output_dir)
    else:
        kept, contents = _taken(team, start_at, order.given, session_id, now_ms)
        place = fill(store, output_dir, session_id, latest_files(kept), contents)
        given = order.given.name().hex()
        origin = Origin(session_id="", phase=start_at, number=0, tasks=kept, given=given)
    input_dir = None if order.input_dir is None else usable_input(order.input_dir)
    new = NewSession(
        session_id=session_id,
        team=team,
        output_dir=place,
        input_dir=input_dir,
        origin=origin,
        particulars=particulars,
        plan=order.plan,
        queued=not takes_place(),
    )
    return opening_transition(new, now_ms, store.epoch)


def require_openable(order: SessionOrder, session_id: str) -> None:
    """Refuse a new session for what `opened` would refuse it for; nothing is made.

    Raises:
        PlanInvalid, PhaseNotReady, GivenMissing, DirectoryUnusable: As `opened`.
    """
    team, start_at = order.team, order.start_at
    require_plan(team, order.plan, () if start_at is None else _before(team, start_at))
    if start_at is not None:
        _found(team, start_at, _source(order.given.files))
    if order.input_dir is not None:
        usable_input(order.input_dir)
    require_makeable(order.output_dir or own_workspace(order.base_dir, session_id))


def _before(team: Team, start_at: str) -> tuple[str, ...]:
    return plan_until(team, start_at)[0].phases[:-1]


def _taken(
    team: Team, start_at: str, given: Given, session_id: str, now_ms: int
) -> tuple[dict[str, KeptTask], Iterator[tuple[str, bytes]]]:
    """Return the tasks that given files stand for, and the files.

    All phases before `start_at` are taken for done, with tokens 0. Their checks are not evaluated,
    so a contract that has some is only as good as its files alone.
    """
    source = _source(given.files)
    found = _found(team, start_at, source)
    kept = {
        item.id: _kept(item, found[item.id], now_ms) for item in team.contracts if item.id in found
    }
    files = latest_files(kept)
    return kept, ((path, source.content(session_id, files[path])) for path in sorted(files))


def _found(team: Team, start_at: str, source: "_Folder | _Contents") -> dict[str, Manifest]:
    """Return what is given for each contract of an earlier phase; it must be all that it owes."""
    earlier = _before(team, start_at)
    contracts = [item for item in team.contracts if item.phase in earlier]
    found = {item.id: source.manifest(item.globs) for item in contracts}
    _require_whole(start_at, contracts, found)
    return found


def _require_whole(start_at: str, contracts: list[Contract], found: Mapping[str, Manifest]) -> None:
    missing = tuple(
        (contract.id, item.name, glob)
        for contract in contracts
        for item in contract.deliverables
        for glob in item.artifacts
        if glob in found[contract.id].missing
    )
    if missing:
        refused = tuple(line for manifest in found.values() for line in manifest.refused)
        raise GivenMissing(start_at, missing, tuple(dict.fromkeys(refused)))


def _kept(contract: Contract, manifest: Manifest, now_ms: int) -> KeptTask:
    artifacts = diff({}, manifest)
    return KeptTask(
        state="done",
        tokens_used=0,
        quality_score=judge(contract, Outcome(artifacts=artifacts)).quality_score,
        finished_ms=now_ms,
        artifacts=artifacts,
    )


class _Folder:
    """Given files in a directory."""

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise DirectoryUnusable("given", str(path), "it is not a directory")
        self._workspace = Workspace(path)

    def manifest(self, globs: tuple[str, ...]) -> Manifest:
        """Fingerprint what the globs match."""
        try:
            return self._workspace.manifest(globs)
        except OSError as error:
            root = str(self._workspace.root)
            raise DirectoryUnusable("given", root, error.strerror or str(error)) from error

    def content(self, session_id: str, artifact: Artifact) -> bytes:
        """Return a file, if it is still what it was."""
        return content_of(self._workspace, session_id, artifact)


class _Contents:
    """Given files in memory."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._contents = contents

    def manifest(self, globs: tuple[str, ...]) -> Manifest:
        """Fingerprint what the globs match."""
        matching = {pattern: list(self._matching(pattern)) for pattern in globs}
        paths = {path for found in matching.values() for path in found}
        return Manifest(
            files={path: _fingerprint(self._contents[path]) for path in sorted(paths)},
            missing=tuple(pattern for pattern, found in matching.items() if not found),
        )

    def content(self, _session_id: str, artifact: Artifact) -> bytes:
        """Return a file."""
        return self._contents[artifact.path]

    def _matching(self, pattern: str) -> Iterator[str]:
        glob = Glob(pattern)
        return (path for path in self._contents if glob.matches(path))


def _fingerprint(content: bytes) -> Fingerprint:
    return Fingerprint(len(content), hashlib.sha256(content).hexdigest())


def _source(files: Path | Mapping[str, bytes]) -> _Folder | _Contents:
    return _Folder(files) if isinstance(files, Path) else _Contents(files)
