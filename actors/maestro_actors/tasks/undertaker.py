"""The undertaker: ends, durably, the task of a persona that the supervisor has given up."""

from maestro_actors.messages import AttemptClosed, CallRecovered, Flushed, PersonaMessage
from maestro_actors.tasks import steps
from maestro_actors.tasks.persona import Persona
from maestro_actors.whereabouts import stand


class Undertaker(Persona):
    """Takes the place of a persona that has failed too often.

    It settles the call that may be open, as after a crash, and then leaves the task to a person. It
    takes only the few messages that this needs: whatever the persona fails at is none of them.
    """

    def on_start(self) -> None:
        """Begin from the record, once all that the persona sent is durable."""
        stand(self._whereabouts)
        self._begin_again()

    def handle(self, message: PersonaMessage) -> None:
        """Take the answers to what this has asked for; all else was meant for the persona."""
        match message:
            case Flushed():
                self._flushed(message)
            case CallRecovered():
                if self._expects("recovering", message.call_id):
                    self._close_interrupted(message.usage)
            case AttemptClosed():
                if self._step == "recording":
                    self._settle_down()
            case _:
                pass

    def _settle_down(self) -> None:
        if not self._has_ended:
            now_ms = self._ports.now_ms()
            # The persona may have failed with the probe in hand, before its call was open.
            unopened = steps.begun(self._task, self._record, now_ms)
            self._breaker.return_probe(unopened.call_id or b"")
            self._end_task(*steps.abandoned(self._task, self._record, now_ms), now_ms)
        else:
            super()._settle_down()
