"""One line of the report: a figure of ours, what stands beside it, and what it is to reach."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Target:
    """What a row is to reach."""

    sense: Literal["at least", "at most"]
    bound: float
    of: Literal["ratio", "difference", "figure"] = "ratio"
    """What is compared: ours divided by the peer's, ours less the peer's, or ours alone."""

    def __str__(self) -> str:
        unit = {"ratio": " x", "difference": " more", "figure": ""}[self.of]
        bound = f"{self.bound:,.0f}" if self.bound >= 100 else f"{self.bound:.3g}"
        return f"{self.sense} {bound}{unit}"

    def met(self, value: float) -> bool:
        """Whether `value` reaches the target."""
        return value >= self.bound if self.sense == "at least" else value <= self.bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A question, our samples, and those of one peer, taken in the same rounds."""

    question: str
    unit: str
    ours: Sequence[float]
    """One figure for each round."""
    beside: str = ""
    """Name of the peer; empty if nobody is measured beside us."""
    theirs: Sequence[float] = ()
    """The peer's figure of each round; none if the peer is absent."""
    target: Target | None = None
    note: str = ""

    @property
    def figure(self) -> float:
        """Our median."""
        return statistics.median(self.ours)

    @property
    def peer_figure(self) -> float | None:
        """The peer's median; None if there is none."""
        return statistics.median(self.theirs) if self.theirs else None

    @property
    def absent(self) -> bool:
        """Whether the peer is not installed."""
        return bool(self.beside) and not self.theirs

    @property
    def ratios(self) -> list[float]:
        """Ours divided by theirs, round by round: a slow moment of the disk hits both."""
        if not self.theirs:
            return []
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float | None:
        """Median of the ratios; None if there is no peer."""
        return statistics.median(self.ratios) if self.theirs else None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without a target, or if the peer is absent."""
        if self.target is None:
            return None
        value = self._compared(self.target.of)
        return None if value is None else self.target.met(value)

    @property
    def facts(self) -> dict[str, object]:
        """Everything, for JSON."""
        return {
            "question": self.question,
            "unit": self.unit,
            "ours": self.figure,
            "beside": self.beside,
            "theirs": self.peer_figure,
            "ratio": self.ratio,
            "target": None if self.target is None else str(self.target),
            "met": self.met,
            "absent": self.absent,
            "note": self.note,
            "our_samples": list(self.ours),
            "their_samples": list(self.theirs),
        }

    def _compared(self, of: str) -> float | None:
        if of == "figure":
            return self.figure
        if not self.theirs:
            return None
        if of == "ratio":
            return self.ratio
        pairs = zip(self.ours, self.theirs, strict=True)
        return statistics.median(ours - theirs for ours, theirs in pairs)
