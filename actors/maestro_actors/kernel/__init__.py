"""Pykka actors on a few threads: lanes, futures to await, supervision, timers, addresses."""

from maestro_actors.kernel._actor import LaneActor
from maestro_actors.kernel._async_lane import AsyncLane
from maestro_actors.kernel._bell import Bell
from maestro_actors.kernel._clock import Clock, SystemClock, VirtualClock
from maestro_actors.kernel._dead_letters import DeadLetter, DeadLetters
from maestro_actors.kernel._dump import ActorDump
from maestro_actors.kernel._future import LaneFuture
from maestro_actors.kernel._lane import Lane
from maestro_actors.kernel._later import Later
from maestro_actors.kernel._loop_thread import LoopThread, start_loop
from maestro_actors.kernel._restart import Restart
from maestro_actors.kernel._system import ActorSystem
from maestro_actors.kernel._thread_lane import ThreadLane
from maestro_actors.kernel._timers import Timers
from maestro_actors.kernel.errors import (
    AddressTaken,
    BlockingOnLoop,
    DeadlockError,
    HandlerCancelled,
    KernelError,
    LaneClosed,
    LaneSaturated,
    MailboxFull,
    NeedsAsyncLane,
)

__all__ = [
    "ActorDump",
    "ActorSystem",
    "AddressTaken",
    "AsyncLane",
    "Bell",
    "BlockingOnLoop",
    "Clock",
    "DeadLetter",
    "DeadLetters",
    "DeadlockError",
    "HandlerCancelled",
    "KernelError",
    "Lane",
    "LaneActor",
    "LaneClosed",
    "LaneFuture",
    "LaneSaturated",
    "Later",
    "LoopThread",
    "MailboxFull",
    "NeedsAsyncLane",
    "Restart",
    "SystemClock",
    "ThreadLane",
    "Timers",
    "VirtualClock",
    "start_loop",
]
