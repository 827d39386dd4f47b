"""LangGraph with its asynchronous SQLite saver."""

import asyncio
import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

from measure import Options


class Fan(TypedDict):
    """The state of a graph whose nodes run side by side."""

    done: Annotated[list[int], operator.add]


class Chain(TypedDict):
    """The state of a graph whose node runs again and again."""

    left: int


class Talk(TypedDict):
    """The state of a conversation that grows."""

    messages: Annotated[list[str], operator.add]


class Graphs:
    """Graphs whose nodes do nothing; `options.peer` has found all its modules."""

    def __init__(self, graph: Any, types: Any, saver: Any, directory: Path) -> None:
        """Take `langgraph.graph`, `langgraph.types` and `langgraph.checkpoint.sqlite.aio`."""
        self._graph = graph
        self._types = types
        self._saver = saver
        self.database = directory / "langgraph.sqlite"
        self._threads = 0

    def run(self, steps: int, concurrent: int) -> None:
        """Run `steps` nodes, `concurrent` of them side by side, each with a durable result."""
        if concurrent == 1:
            asyncio.run(self._repeat(self._chain(), [{"left": steps}], steps))
            return
        rounds = max(1, steps // concurrent)
        asyncio.run(self._repeat(self._fan(concurrent), [{"done": []}] * rounds, concurrent))

    def converse(self, messages: list[str]) -> None:
        """Add one message after the other to one conversation."""
        graph = self._graph.StateGraph(Talk)
        graph.add_node("call", _answer)
        graph.add_edge(self._graph.START, "call")
        graph.add_edge("call", self._graph.END)
        inputs = [{"messages": [message]} for message in messages]
        asyncio.run(self._repeat(graph, inputs, len(messages), one_thread=True))

    def _fan(self, width: int) -> Any:
        graph = self._graph.StateGraph(Fan)
        graph.add_node("step", _done)
        sends = [self._types.Send("step", {"done": []})] * width
        graph.add_conditional_edges(self._graph.START, lambda _state: sends, ["step"])
        graph.add_edge("step", self._graph.END)
        return graph

    def _chain(self) -> Any:
        graph = self._graph.StateGraph(Chain)
        end = self._graph.END
        graph.add_node("step", _count_down)
        graph.add_edge(self._graph.START, "step")
        graph.add_conditional_edges("step", lambda state: "step" if state["left"] > 0 else end)
        return graph

    async def _repeat(
        self, graph: Any, inputs: list[Any], limit: int, *, one_thread: bool = False
    ) -> None:
        """Invoke a graph with one input after the other; each step is durable before the next."""
        async with self._saver.AsyncSqliteSaver.from_conn_string(str(self.database)) as saver:
            compiled = graph.compile(checkpointer=saver)
            for value in inputs:
                self._threads += not one_thread
                config = {
                    "configurable": {"thread_id": str(self._threads)},
                    "recursion_limit": limit + 5,
                }
                await compiled.ainvoke(value, config, durability="sync")


def open_graphs(options: Options, directory: Path) -> Graphs | None:
    """Return the graphs, None if LangGraph or its saver is absent."""
    graph = options.peer("langgraph.graph")
    types = options.peer("langgraph.types")
    saver = options.peer("langgraph.checkpoint.sqlite.aio")
    if graph is None or types is None or saver is None:
        return None
    return Graphs(graph, types, saver, directory)


async def _done(_state: Fan) -> Fan:
    return {"done": [1]}


async def _count_down(state: Chain) -> Chain:
    return {"left": state["left"] - 1}


async def _answer(_state: Talk) -> Talk:
    return {"messages": []}
