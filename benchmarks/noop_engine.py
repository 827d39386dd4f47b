"""An engine that does nothing: what is left is the runtime's own cost."""


async def work(_task: object) -> None:
    """Return at once."""
