"""Kinds of values that several options have."""

from typing import Annotated

from pydantic import Field

Ids = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
