"""Messages of which a first receiver reads only the first fields."""

import msgspec
import pytest

from maestro_actors.messages import AcquireCall, CloseCall, Message, OpenCall, ReportCall


@pytest.mark.parametrize(("whole", "head"), [(OpenCall, AcquireCall), (CloseCall, ReportCall)])
def test_what_the_breaker_reads_stands_first_in_what_it_passes_on(
    whole: type[Message], head: type[Message]
) -> None:
    read = head.__struct_fields__

    assert whole.__struct_fields__[: len(read)] == read
    assert msgspec.inspect.type_info(whole).tag == msgspec.inspect.type_info(head).tag  # type: ignore[attr-defined] # of a struct
