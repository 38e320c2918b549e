"""The page: one file that needs no other, no network and no server."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plmrs.workspace import atomic_file

TEMPLATE = Path(__file__).with_name("page.html")
TITLE, DATA = "{{title}}", "{{data}}"
"""Where the template has them."""

ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""Characters that could end a script, or begin one, in a text; in JSON they mean the same so."""


def write_page(path: Path, content: Mapping[str, Any]) -> None:
    """Write the page of what `page_content` gives."""
    page = TEMPLATE.read_text(encoding="utf-8")
    title = f"{content['run']} on {content['dataset']}"
    # The title last: it stands before the data, in which its mark may occur.
    for text, mark in ((embedded(content), DATA), (_html(title), TITLE)):
        before, mark, after = page.partition(mark)
        assert mark, "the template lacks a mark"
        page = before + text + after
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def embedded(content: Mapping[str, Any]) -> str:
    """JSON that can stand within a script of an HTML page, whatever its texts are."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character, escape in ESCAPED.items():
        text = text.replace(character, escape)
    return text


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
