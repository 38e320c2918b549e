"""Times as --split-times takes them: dates where a data set's times are dates, numbers in any case."""

import math
from datetime import UTC, datetime

import numpy as np

from plmrs.errors import UserError


def are_dates(time_unit: str) -> bool:
    """Whether times in this unit, as a manifest names it, are dates."""
    return time_unit.startswith("seconds since 1970-01-01")


def parsed(text: str, dates: bool, remedy: str) -> int:
    """A time as a user writes it, in the data's unit.

    Raises:
        UserError: it is no time; `remedy` says what would be one.
    """
    try:
        return int(text)
    except ValueError:
        kinds = "neither a number nor a date" if dates else "no number, and this data's times are no dates"
    try:
        moment = datetime.fromisoformat(text.strip()) if dates else None
    except ValueError:
        moment = None
    if moment is None:
        raise UserError(f"--split-times: {text!r} is {kinds}.", remedy)
    return math.ceil((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def shown(time: int, dates: bool) -> str:
    """A time as a user would write it; what no date can hold is a number."""
    return str(np.datetime64(time, "s")).removesuffix("T00:00:00") if dates and abs(time) < 1 << 63 else str(time)
