"""What the kernel refuses to do, one class per reason."""


class KernelError(Exception):
    """Root of all deliberate errors of the kernel."""


class MailboxFull(KernelError):
    """The mailbox holds as many messages as its actor's class allows; nothing was queued."""

    def __init__(self, address: str, limit: int) -> None:
        super().__init__(address, limit)
        self.address = address
        self.limit = limit

    def __str__(self) -> str:
        return f"mailbox of {self.address} is full: at most {self.limit} messages may wait"


class DeadlockError(KernelError):
    """Waiting for this answer would close a circle of actors that wait for each other."""

    def __init__(self, addresses: tuple[str, ...]) -> None:
        super().__init__(addresses)
        self.addresses = addresses
        """The circle, in the order of waiting; the first actor is also the last."""

    def __str__(self) -> str:
        return f"actors would wait for each other: {' -> '.join(self.addresses)}"


class LaneSaturated(KernelError):
    """Too many handlers of a thread lane block at the same time."""

    def __init__(self, lane: str, blocked_max: int) -> None:
        super().__init__(lane, blocked_max)
        self.lane = lane
        self.blocked_max = blocked_max

    def __str__(self) -> str:
        return f"lane {self.lane!r} is saturated: {self.blocked_max} handlers are blocked already"


class LaneClosed(KernelError):
    """The lane has been closed and runs nothing any more."""

    def __init__(self, lane: str) -> None:
        super().__init__(lane)
        self.lane = lane

    def __str__(self) -> str:
        return f"lane {self.lane!r} is closed"


class BlockingOnLoop(KernelError):
    """A handler on an asyncio lane tried to block for a future that is not done."""

    def __init__(self, lane: str) -> None:
        super().__init__(lane)
        self.lane = lane

    def __str__(self) -> str:
        return f"the loop of lane {self.lane!r} must not block: await the future"


class NeedsAsyncLane(KernelError):
    """An `async def` handler was called on a lane without an event loop; its body never ran."""

    def __init__(self, address: str, lane: str) -> None:
        super().__init__(address, lane)
        self.address = address
        self.lane = lane

    def __str__(self) -> str:
        return f"{self.address} has an async handler, which thread lane {self.lane!r} cannot run"


class HandlerCancelled(KernelError):
    """An `async def` handler ended by cancellation, its own or that of something it awaited."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address

    def __str__(self) -> str:
        return f"a handler of {self.address} was cancelled"


class AddressTaken(KernelError):
    """An actor lives at this address already; nothing was spawned."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address

    def __str__(self) -> str:
        return f"address {self.address} is taken by a live actor"
