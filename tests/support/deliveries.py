"""What tasks that are done have left in their workspaces, held against what is on record of it."""

from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from maestro_actors.engine import Artifact
from maestro_actors.team import decode_team
from maestro_storage import StateView

_decode_manifest: Final = msgspec.msgpack.Decoder(tuple[Artifact, ...]).decode


def check_deliveries(store: StateView, session_id: str) -> None:
    """Check that all a session has delivered is there, byte for byte; AssertionError if not.

    Of a file that two tasks have delivered, it is what the one that ended last has left.
    """
    session = store.require_session(session_id)
    team = decode_team(store.payloads.require(session.team))
    owed = {contract.id: contract.globs for contract in team.contracts}
    done = [task for task in store.tasks.scan(session_id) if task.state == "done"]
    digests: dict[str, str] = {}
    for task in sorted(done, key=lambda task: task.finished_ms or 0):
        manifest = () if task.artifacts is None else store.payloads.require(task.artifacts)
        artifacts = _decode_manifest(manifest) if manifest else ()
        assert task.contract_fulfilled, f"{task} is done, and owes something"
        for glob in owed[task.task_id]:
            assert any(Path(file.path).match(glob) for file in artifacts), f"{task} owes {glob}"
        digests.update({file.path: file.sha256 for file in artifacts})
    for path, digest in digests.items():
        found = Path(session.output_dir, path).read_bytes()
        assert sha256(found).hexdigest() == digest, f"{path} of {session_id} is another file"
