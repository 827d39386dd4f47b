"""The `python` engine: a function does the persona's work."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from maestro_actors.engine import CallOrder, Usage
from maestro_actors.team import Contract, Persona
from maestro_runtime.edits import EditPlan
from maestro_runtime.engines._importing import import_callable
from maestro_runtime.engines._reported import ReportedUsage
from maestro_runtime.engines._thread_pool import ThreadPool
from maestro_runtime.engines.errors import EngineUnavailable, MalformedOutput
from maestro_runtime.engines.protocol import Engine, EngineContext, EngineResult, Health

THREADS_MAX: Final = 32
"""Most plain functions that run at the same time; further calls wait, on their own clock."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What a function of the `python` engine is given; see `CallOrder` for the fields."""

    session_id: str
    task_id: str
    call_id: str
    attempt: int
    ordinal: int
    requirement: str
    contract: Contract
    workspace: str
    input_dir: str | None
    feedback: tuple[str, ...]
    options: dict[str, Any]
    seed: int
    scope: tuple[str, ...] = ()
    inputs: dict[str, Any] = {}


class Answer(ReportedUsage, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a function may return as a dictionary."""

    message: str = ""
    edits: Any = None
    """An `EditPlan`, or a list of dictionaries with `kind` and the fields of that kind of edit."""
    decisions: dict[str, Any] = msgspec.field(default_factory=dict)
    """What was chosen on the way; see `EngineResult`."""


class PythonEngine(Engine):
    """Calls the persona's `callable`, given as `module:function`, with one `Task`.

    A coroutine function runs on the host's event loop and must not block it. A plain function runs
    in a thread; at its time limit the call ends, but the function runs on until it returns. The
    function returns None, a message, a dictionary with the fields of `Answer`, or an
    `EngineResult`. It may raise an `EngineError` to choose how the attempt is judged. Tokens it
    does not report are none.

    Modules are looked up in the persona's `import_dir` first. It is on the module path only while
    a module is imported: a module that imports a neighbour does so at its top.
    """

    name = "python"

    def __init__(self) -> None:
        self._functions: dict[tuple[str, str | None], Callable[[Task], Any]] = {}
        self._coroutine_functions: set[Callable[[Task], Any]] = set()
        """Those among them; to find out takes longer than an idle call."""
        self._sources: dict[tuple[str, str | None], str] = {}
        """As far as they were asked for: to read one takes as long as to open a session."""
        self._threads = ThreadPool("maestro-callable", THREADS_MAX)

    def preflight(self, persona: Persona) -> Health:
        """Import the function."""
        try:
            self._function(persona)
        except EngineUnavailable as error:
            return Health(ok=False, detail=error.detail)
        return Health(ok=True)

    def endpoint(self, persona: Persona) -> str:
        """Return the function: one that fails says nothing of the others."""
        return persona.callable or ""

    def version(self, persona: Persona) -> str:
        """Return the name of the function and its source; empty if it has none, or is not there."""
        try:
            function, place = self._function(persona), _place(persona)
            if place not in self._sources:
                self._sources[place] = inspect.getsource(inspect.unwrap(function))
            return f"{persona.callable}\0{self._sources[place]}"
        except (EngineUnavailable, OSError, TypeError):
            # OSError, TypeError: not written in Python, or its file is gone.
            return ""

    def estimate(self, order: CallOrder) -> int:  # noqa: ARG002 - protocol
        """Return 0: what a function will spend cannot be told from outside."""
        return 0

    async def run(self, order: CallOrder, context: EngineContext) -> EngineResult:  # noqa: ARG002
        """Call the function once.

        Raises:
            EngineUnavailable: The function cannot be imported.
            MalformedOutput: It returned something else than it may.
        """
        function = self._functions.get(_place(order.persona))
        if function is None:
            function = await self._threads.run(partial(self._function, order.persona))
        task = _task_of(order)
        if function in self._coroutine_functions:
            answer = await function(task)
        else:
            answer = await self._threads.run(partial(function, task))
        return _result_of(answer, order.token_budget)

    async def close(self) -> None:
        """Let the threads end."""
        self._threads.close()

    def _function(self, persona: Persona) -> Callable[[Task], Any]:
        """Import the persona's function once.

        Raises:
            EngineUnavailable: It is not given, cannot be imported, or is not callable.
        """
        reference = persona.callable
        if reference is None:
            raise EngineUnavailable(f"persona {persona.persona_id!r} has no callable")
        known = self._functions.get(_place(persona))
        if known is not None:
            return known
        function = import_callable(reference, persona.import_dir)
        self._functions[_place(persona)] = function
        if _is_async(function):
            self._coroutine_functions.add(function)
        return function


def _place(persona: Persona) -> tuple[str, str | None]:
    """Return what tells one function from another of the same name."""
    return persona.import_dir, persona.callable


def _is_async(function: Callable[[Task], Any]) -> bool:
    """Tell whether calling `function` gives something to await."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - objects with an async __call__
    )


def _task_of(order: CallOrder) -> Task:
    """Return the function's view of an order."""
    return Task(
        session_id=order.session_id,
        task_id=order.task_id,
        call_id=order.call_id,
        attempt=order.attempt,
        ordinal=order.ordinal,
        requirement=order.requirement,
        contract=order.contract,
        workspace=order.workspace,
        input_dir=order.input_dir,
        feedback=order.feedback,
        options=order.persona.options,
        seed=order.seed,
        scope=order.scope,
        inputs=order.inputs,
    )


def _result_of(answer: object, reserved_tokens: int) -> EngineResult:
    """Read what the function returned.

    Whoever returns something wrong has spent the tokens all the same.

    Raises:
        MalformedOutput: It is none of the allowed forms.
    """
    if answer is None:
        return EngineResult()
    if isinstance(answer, EngineResult):
        return answer
    if isinstance(answer, str):
        return EngineResult(message=answer)
    if not isinstance(answer, dict):
        rule = "callable must return None, a string, a dictionary or an EngineResult"
        raise MalformedOutput(f"{rule}, got {type(answer).__name__}")
    try:
        fields = msgspec.convert(answer, Answer)
    except msgspec.ValidationError as error:
        usage = _usage_of(answer, reserved_tokens)
        raise MalformedOutput(f"dictionary returned by callable: {error}", usage) from error
    usage = _usage_of(answer, reserved_tokens)
    try:
        edits = msgspec.convert(fields.edits, EditPlan | None)
    except msgspec.ValidationError as error:
        raise MalformedOutput(f"edits returned by callable: {error}", usage) from error
    return EngineResult(
        usage=usage, message=fields.message, edits=edits, decisions=fields.decisions
    )


def _usage_of(answer: dict[Any, Any], reserved_tokens: int) -> Usage:
    """Return what an answer says it has used; what was reserved if that cannot be."""
    try:
        figures = msgspec.convert(answer, ReportedUsage)
    except msgspec.ValidationError:
        return Usage(input_tokens=reserved_tokens, basis="reserved")
    counted = "input_tokens" in answer or "output_tokens" in answer
    return figures.on("provider" if counted else "estimated")
