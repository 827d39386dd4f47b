"""Orders of sessions as they travel: absolute directories, every context in the team."""

from pathlib import Path

from maestro_actors.messages import encode
from maestro_actors.team import decode_team
from maestro_runtime.checkpoints import ForkOrder, ImportOrder
from maestro_runtime.errors import EngineNotReady
from maestro_runtime.given import Given
from maestro_runtime.session import SessionOrder
from maestro_runtime.wire.orders import ForkSession, ImportBundle, StartSession


def start_of(order: SessionOrder, *, run: bool = True) -> StartSession:
    """Return an order as another process gets it.

    Raises:
        ContextInvalid, InputsInvalid: As `SessionOrder.effective_team`.
        EngineNotReady: A function of this very program is to work: no other process has it.
    """
    files = order.given.files
    # As it will be read again: what a context holds may be no more than nearly JSON.
    team = decode_team(encode(order.effective_team))
    for persona in team.personas.values():
        if persona.callable is not None and persona.callable.startswith("__main__:"):
            reason = f"{persona.callable!r} is of this program, and the daemon cannot import it"
            raise EngineNotReady(persona.persona_id, persona.engine, reason)
    return StartSession(
        team=team,
        base_dir=str((order.base_dir or Path()).absolute()),
        session_id=order.session_id,
        output_dir=_absolute(order.output_dir),
        input_dir=_absolute(order.input_dir),
        labels=dict(order.labels),
        idempotency_key=order.idempotency_key,
        accept_changes=order.accept_changes,
        start_at=order.start_at,
        given_dir=_absolute(files) if isinstance(files, Path) else None,
        given_files={} if isinstance(files, Path) else dict(files),
        plan=order.plan,
        run=run,
        priority=order.priority,
    )


def order_of(start: StartSession) -> SessionOrder:
    """Return an order that another process has sent."""
    files = start.given_files if start.given_dir is None else Path(start.given_dir)
    return SessionOrder(
        team=start.team,
        session_id=start.session_id,
        output_dir=_path(start.output_dir),
        input_dir=_path(start.input_dir),
        labels=start.labels,
        idempotency_key=start.idempotency_key,
        accept_changes=start.accept_changes,
        start_at=start.start_at,
        given=Given(files=files),
        plan=start.plan,
        base_dir=Path(start.base_dir),
        priority=start.priority,
    )


def fork_of(order: ForkOrder, *, request_id: bytes = b"") -> ForkSession:
    """Return the order of a fork as another process gets it."""
    return ForkSession(
        session_id=order.session_id,
        base_dir=str((order.base_dir or Path()).absolute()),
        checkpoint=order.checkpoint,
        new_id=order.new_id,
        output_dir=_absolute(order.output_dir),
        requirement=order.requirement,
        request_id=request_id,
    )


def fork_order_of(fork: ForkSession) -> ForkOrder:
    """Return the order of a fork that another process has sent."""
    return ForkOrder(
        session_id=fork.session_id,
        checkpoint=fork.checkpoint,
        new_id=fork.new_id,
        output_dir=_path(fork.output_dir),
        requirement=fork.requirement,
        base_dir=Path(fork.base_dir),
    )


def import_of(order: ImportOrder, *, request_id: bytes = b"") -> ImportBundle:
    """Return the order of an import as another process gets it."""
    return ImportBundle(
        path=str(order.path.absolute()),
        base_dir=str((order.base_dir or Path()).absolute()),
        output_dir=_absolute(order.output_dir),
        input_dir=_absolute(order.input_dir),
        request_id=request_id,
    )


def import_order_of(asked: ImportBundle) -> ImportOrder:
    """Return the order of an import that another process has sent."""
    return ImportOrder(
        path=Path(asked.path),
        output_dir=_path(asked.output_dir),
        input_dir=_path(asked.input_dir),
        base_dir=Path(asked.base_dir),
    )


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
