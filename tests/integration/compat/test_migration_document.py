"""The code of docs/migration.md runs, from its first block to its last."""

import ast
import asyncio
import importlib
import pkgutil
import re
import types
from pathlib import Path
from typing import Any

import pytest

from console import blocks_of

DOCUMENT = (Path(__file__).parents[3] / "docs" / "migration.md").read_text()
NAMES = sorted(set(re.findall(r"`((?:maestro_|parallel_|persona_)\w+\.[\w.]+)", DOCUMENT)))


def test_the_blocks_of_the_document_run_one_after_the_other() -> None:
    blocks = blocks_of(DOCUMENT)
    names: dict[str, Any] = {"__name__": "guide"}

    async def read() -> None:
        for _, block in blocks:
            code = compile(block, "guide", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = types.FunctionType(code, names)()
            if running is not None:
                await running

    asyncio.run(read())

    assert [language for language, _ in blocks] == ["python"] * 6
    assert names["result"].success


@pytest.mark.parametrize("name", NAMES)
def test_a_dotted_name_of_the_document_exists_or_is_removed(name: str) -> None:
    if name.endswith("iterative_executor"):
        with pytest.raises(ImportError, match="was removed"):
            importlib.import_module(name)
    else:
        assert pkgutil.resolve_name(name) is not None
