"""The checkpoints of a session that runs, one number after the other."""

from maestro_actors.messages import CheckpointTaken
from maestro_actors.ports import Ports
from maestro_actors.receipt import Receipt, put_receipt
from maestro_actors.sessions.summary import record_checkpoint
from maestro_storage.records import CheckpointRecord
from maestro_storage.transition import Transition


class Checkpoints:
    """Drafts the checkpoints of one session; belongs to its coordinator."""

    def __init__(self, ports: Ports, session_id: str, last: int) -> None:
        self._ports = ports
        self._session_id = session_id
        self.number = last
        """Of the last one."""

    def take(self, name: str, receipt: Receipt | None) -> CheckpointTaken:
        """Hand in the next one, which somebody asked for."""
        draft = self.following(name, on_demand=True)
        taken = CheckpointTaken(number=self.number)
        put_receipt(draft, receipt, self._ports.epoch, taken)
        self._ports.journal.append(draft)
        return taken

    def following(self, phase: str, *, on_demand: bool = False) -> Transition:
        """Return the transition with the next one, over the tasks that have ended by now.

        Args:
            phase: The phase that ends with it, or its name.
            on_demand: Whether it is a name.
        """
        self.number += 1
        checkpoint = CheckpointRecord(
            session_id=self._session_id,
            number=self.number,
            phase=phase,
            at_ms=self._ports.now_ms(),
            epoch=self._ports.epoch,
            on_demand=on_demand,
        )
        draft = Transition()
        record_checkpoint(draft, checkpoint, self._ports.memory.tasks(self._session_id))
        return draft
