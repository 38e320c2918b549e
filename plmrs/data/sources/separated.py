"""Text tables with other separators or in another encoding, read as tab-separated UTF-8."""

from typing import Any

import pyarrow as pa


def as_tabs(stream: Any, separator: str, encoding: str) -> Any:
    """A stream of text as UTF-8, with a tab for each separator; tabs of its own become spaces."""
    if encoding != "utf-8":
        stream = pa.transcoding_input_stream(stream, encoding, "utf-8")
    if separator == "\t":
        return stream
    mark, held = separator.encode(), b""

    def replaced(chunk: bytes) -> bytes:
        nonlocal held
        text = (held + bytes(chunk)).replace(b"\t", b" ").replace(mark, b"\t")
        # A separator may begin at the end of this chunk and end in the next one; the end of the text is an empty chunk.
        partial = range(len(mark) - 1, 0, -1) if len(chunk) else ()
        cut = next((n for n in partial if text.endswith(mark[:n])), 0)
        held = text[len(text) - cut :]
        return text[: len(text) - cut]

    return pa.TransformInputStream(stream, replaced)
