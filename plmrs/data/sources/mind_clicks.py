"""What was clicked of what MIND users were shown."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def clicks_in(shown: pa.StringArray) -> tuple[NDArray[np.int64], pa.StringArray]:
    """The clicked items of impressions, and the row each stands in: words that end in `-1`, without it.

    Example: `["N5-0 N7-1", "N7-0", "N2-1 N3-1"]` give `[0, 2, 2]` and `["N7", "N2", "N3"]`.

    Most of a log is what was shown in vain, so its bytes are searched instead of cutting it into words.
    """
    _, bounds, data = shown.buffers()
    starts = np.frombuffer(bounds, np.int32)[shown.offset : shown.offset + len(shown) + 1]
    text = np.frombuffer(data if data is not None else b"", np.uint8)[: starts[-1]]
    dashes = np.flatnonzero(text[starts[0] : -1] == ord("-")) + starts[0]
    dashes = dashes[text[dashes + 1] == ord("1")]
    rows = np.searchsorted(starts, dashes, "right") - 1
    behind, stops = dashes + 2, starts[rows + 1]
    ends, inside = behind == stops, behind < stops
    ends[inside] = text[behind[inside]] == ord(" ")
    rows, ends_at = rows[ends], dashes[ends]
    begins, open_ones = ends_at.copy(), np.arange(len(ends_at))
    while len(open_ones):
        before = begins[open_ones] - 1
        inside = before >= starts[rows[open_ones]]
        inside[inside] = text[before[inside]] != ord(" ")
        open_ones = open_ones[inside]
        begins[open_ones] -= 1
    lengths = ends_at - begins
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    places = np.arange(offsets[-1]) + np.repeat(begins - offsets[:-1], lengths)
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(text[places])]
    return rows, pa.Array.from_buffers(pa.string(), len(lengths), buffers)
