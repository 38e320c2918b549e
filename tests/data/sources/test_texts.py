import re

import pyarrow as pa
import pytest

from plmrs.config import RawOptions
from plmrs.data.sources.texts import tidy, wording
from plmrs.errors import UserError

COLUMNS = {
    "title": ["Dune", "", None, "  Emma ", None],
    "abstract": ["Sand.", "Alone.", "A  b", None, " \t "],
    "a.b c": ["x", "x", "x", "x", None],
}


def texts(default: str | tuple[str, ...] = ("title",), **options: object) -> list[str]:
    arrays = {name: pa.array(values, pa.string()) for name, values in COLUMNS.items()}
    return wording(RawOptions(**options), default).texts(arrays).to_pylist()


def test_fields_are_joined_by_a_space() -> None:
    assert texts() == ["Dune", "", "", "Emma", ""]
    assert texts(text_fields=("abstract", "title")) == ["Sand. Dune", "Alone.", "A b", "Emma", ""]
    assert texts(text_fields="title,abstract") == ["Dune Sand.", "Alone.", "A b", "Emma", ""]
    assert texts(text_fields="title,title") == ["Dune Dune", "", "", "Emma Emma", ""]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{title}. {abstract}", ["Dune. Sand.", ". Alone.", ". A b", "Emma .", ""]),
        ("{title}", ["Dune", "", "", "Emma", ""]),
        ("{title}{abstract}", ["DuneSand.", "Alone.", "A b", "Emma", ""]),
        ("{{{title}}}: {{}}", ["{Dune}: {}", "", "", "{ Emma }: {}", ""]),
        ("{a.b c} / {title}", ["x / Dune", "x /", "x /", "x / Emma", ""]),
        ("Book {title}\n{title}", ["Book Dune Dune", "", "", "Book Emma Emma", ""]),
        ("名 {title} é", ["名 Dune é", "", "", "名 Emma é", ""]),
    ],
)
def test_templates(template: str, expected: list[str]) -> None:
    assert texts(text_template=template) == expected


def test_a_default_may_be_a_template_and_gives_way_to_fields() -> None:
    assert texts("{abstract} | {title}") == ["Sand. | Dune", "Alone. |", "A b |", "| Emma", ""]
    assert texts("{abstract} | {title}", text_fields=("title",)) == texts()
    assert texts("{abstract} | {title}", text_template="{title}") == texts()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"text_template": "title"}, "'title' names no column."),
        ({"text_template": "{{title}}"}, "names no column."),
        ({"text_template": "{title"}, "cannot be read: expected '}' before end of string."),
        ({"text_template": "title}"}, "cannot be read: Single '}' encountered in format string."),
        ({"text_template": "{}"}, "has braces that hold no name of a column."),
        ({"text_template": "{title} {}"}, "has braces that hold no name of a column."),
        ({"text_template": "{title!r}"}, "has braces that hold no name of a column."),
        ({"text_template": "{title:>10}"}, "has braces that hold no name of a column."),
        ({"text_template": "{title}", "text_fields": ("title",)}, "--text-fields and --text-template are both given."),
    ],
)
def test_bad_templates(options: dict, said: str) -> None:
    with pytest.raises(UserError) as caught:
        texts(**options)
    assert said in caught.value.message
    assert caught.value.message.startswith("--text-")
    assert caught.value.remedy


def test_white_space_becomes_single_spaces() -> None:
    spaces = [chr(code) for code in range(0x110000) if chr(code).isspace()]
    assert len(spaces) > 25
    rows = [f"{space}{space}a{space} {space}b{space}" for space in spaces]
    rows += ["", " ", "a", "\u3000", "a\u200bb", "𝒜\u2029\u2028𝒜"]
    expected = [" ".join(re.split(r"\s+", row.strip())) for row in rows]
    assert tidy(pa.array(rows)).to_pylist() == expected
    assert tidy(pa.array([None, "x "])).to_pylist() == ["", "x"]
    assert tidy(pa.chunked_array([["a\tb"], [None]])).to_pylist() == ["a b", ""]
