"""The page as a file: one, whole, of nothing but itself, and safe whatever the texts are."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from plmrs.config import EvaluateConfig
from plmrs.errors import UserError
from plmrs.evaluate.command import evaluate
from plmrs.evaluate.report.page import embedded, write_page
from plmrs.report import Silent


class Elements(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_it_asks_for_nothing_outside_itself(shown: Any) -> None:
    text = shown.page.read_text(encoding="utf-8")
    elements = Elements(shown.page).found
    links = [value for _, attributes in elements for name, value in attributes.items() if name in ("src", "href")]
    assert links
    assert all(str(link).startswith("#") for link in links)
    assert not [tag for tag, _ in elements if tag in ("link", "iframe", "img", "object", "embed")]
    template = text.partition('id="data">')[0] + text.partition('id="data">')[2].partition("</script>")[2]
    assert set(re.findall(r"https?://[^\"' ]+", template)) == {"http://www.w3.org/2000/svg"}
    assert "@import" not in template
    assert "url(" not in template


def test_no_text_becomes_markup(shown: Any) -> None:
    assert any("<script>" in text for text in shown.content["items"]["text"])  # they are in the data, whole
    assert [tag for tag, _ in Elements(shown.page).found].count("script") == 2
    assert "{{" not in shown.page.read_text("utf-8").partition("</title>")[0]


def test_every_label_and_reference_has_its_element(shown: Any) -> None:
    elements = Elements(shown.page).found
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = [
        str(attributes[name]).removeprefix("#")
        for _, attributes in elements
        for name in ("for", "href", "aria-labelledby", "aria-describedby")
        if attributes.get(name)
    ]
    assert set(wanted) <= set(ids)


TEXTS = ["</script>", "<!--<script>", "a & b", "\u2028\u2029", 'quote " and \\', "\\u003c", "{{title}}"]


@pytest.mark.parametrize("text", TEXTS)
def test_embedded_data_is_what_was_put_in(text: str) -> None:
    found = embedded({text: [text, 1.5, None]})
    assert json.loads(found) == {text: [text, 1.5, None]}
    assert not set("<>&\u2028\u2029") & set(found)


def test_a_number_that_json_lacks_is_no_page() -> None:
    with pytest.raises(ValueError, match="JSON"):
        embedded({"a": float("nan")})


def test_names_with_marks_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    content = {"run": "{{data}}<b>", "dataset": "{{title}}", "rest": "{{title}}{{data}}"}
    write_page(path, content)
    text = path.read_text(encoding="utf-8")
    assert "<title>{{data}}&lt;b&gt; on {{title}}</title>" in text
    assert json.loads(text.partition('id="data">')[2].partition("</script>")[0]) == content


def test_the_page_needs_a_name_of_one(shown: Any) -> None:
    places = {"root": shown.workspace.root, "runs": shown.workspace.runs}
    with pytest.raises(UserError, match=r"--report page\.pdf is written as HTML"):
        evaluate("shop-id", EvaluateConfig.from_flat({**places, "report": "page.pdf"}), Silent())
