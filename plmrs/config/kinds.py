"""Kinds of values that several options have."""

from typing import Annotated

from pydantic import AfterValidator, ByteSize, Field


def _holds_a_chunk(value: ByteSize) -> ByteSize:
    if value < 4 * 2**20:
        raise ValueError("is less than 4MiB, the least that a chunk takes")
    return value


Ids = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
Positive = Annotated[int, Field(ge=1)]
ScoresMemory = Annotated[ByteSize, AfterValidator(_holds_a_chunk)]
Share = Annotated[float, Field(ge=0, lt=1)]
