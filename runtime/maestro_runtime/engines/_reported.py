"""What a program or a function says that it has used."""

from typing import Annotated

import msgspec

from maestro_actors.engine import FIGURE_MAX, Basis, Usage

TokenCount = Annotated[int, msgspec.Meta(ge=0, le=FIGURE_MAX)]


class ReportedUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens that are said to be used; no more than can be believed."""

    input_tokens: TokenCount = 0
    output_tokens: TokenCount = 0
    cache_read_tokens: TokenCount = 0
    """Part of the input, like the next one."""
    cache_write_tokens: TokenCount = 0
    reasoning_tokens: TokenCount = 0
    """Part of the output."""
    requests: TokenCount = 1

    def on(self, basis: Basis) -> Usage:
        """Return them as the usage of a call, by whose count it is."""
        return Usage(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cache_read_tokens=self.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens,
            requests=self.requests,
            basis=basis,
        )
