"""What the kernel says of a process."""

from pathlib import Path


def descriptors(pid: int) -> int:
    """Return how many files, sockets and pipes it has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def threads(pid: int) -> int:
    """Return how many threads it has."""
    return _status(pid, "Threads")


def private_bytes(pid: int) -> int:
    """Return the memory that only it has: without the pages of files that it has mapped."""
    return _status(pid, "RssAnon") << 10


def peak_bytes(pid: int) -> int:
    """Return the most memory it has had since `forget_peak`, or its start."""
    return _status(pid, "VmHWM") << 10


def forget_peak(pid: int) -> None:
    """Let the peak begin with what it has now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1])
