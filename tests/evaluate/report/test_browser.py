"""The page in a browser without a window: it draws itself, finds what is searched for, and shows texts as text."""

import html
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium (apt-get install chromium)")

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=1000",
    "--window-size=1280,900", "--enable-logging=stderr",
)  # fmt: skip

Dump = Callable[[str], str]


@pytest.fixture(scope="module")
def dump(shown: Any, tmp_path_factory: pytest.TempPathFactory) -> Dump:
    """`dump("q=river")` gives the page as it stands once its script has run, and fails on any of its errors."""

    def dump(fragment: str) -> str:
        profile = tmp_path_factory.mktemp("profile")
        command = [
            str(BROWSER),
            *FLAGS,
            f"--user-data-dir={profile}",
            "--dump-dom",
            f"{shown.page.as_uri()}#{fragment}",
        ]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        # What a script says or throws, and what the page's own policy refused.
        assert "CONSOLE" not in ran.stderr
        assert "Uncaught" not in ran.stderr
        return ran.stdout

    return dump


def inner(page: str, element: str) -> str:
    """The text of an element that holds no other of its kind."""
    found = re.search(rf'<(\w+)[^>]*id="{element}"[^>]*>(.*?)</\1>', page, re.DOTALL)
    assert found is not None
    return html.unescape(re.sub(r"<[^>]+>", "", found[2]))


def users(page: str) -> list[str]:
    return [
        html.unescape(re.sub(r"<[^>]+>", "", found)) for found in re.findall(r'<span class="id">(.*?)</span>', page)
    ]


@pytest.fixture(scope="module")
def whole(dump: Dump) -> str:
    return dump("")


def test_it_shows_what_is_in_its_data(whole: str, shown: Any) -> None:
    assert inner(whole, "title") == "shop-id on shop"
    metrics = shown.content["groups"][0]["metrics"]["SASRec id"]
    assert f"{metrics['NDCG@10']:.4f}" in inner(whole, "tiles")
    for method in shown.content["methods"]:
        assert method in inner(whole, "methods")
    numbers = inner(whole, "numbers")
    assert all(f"{value:.4f}" in numbers for value in metrics.values())
    assert users(whole) == [f"User {user['id']}" for user in shown.content["users"]]
    assert whole.count("<circle cx=") >= 60 + 1  # items, and the best epochs


def test_hits_are_marked(whole: str, shown: Any) -> None:
    hits = [user for user in shown.content["users"] if user["rank"] <= 10]
    assert hits
    assert whole.count('<li class="hit"') == len(hits)
    assert whole.count('class="badge hit"') == len(hits)
    assert f"{len(hits)} of 30" in inner(whole, "tiles")
    assert whole.count('class="next-one"') == 30 - len(hits)


def test_texts_are_shown_as_text(whole: str, shown: Any) -> None:
    assert "<title>shop-id on shop</title>" in whole  # no text's script ran
    seen = whole.partition('id="data">')[0]
    assert not re.search(r"<(b|img)\b[^>]*(onerror|>bold)", seen)
    shown_items = {item for user in shown.content["users"] for item in user["recommended"]}
    nasty = [text for item, text in enumerate(shown.content["items"]["text"]) if item in shown_items and "<b>" in text]
    assert nasty
    assert html.escape(nasty[0], quote=False) in seen


def test_a_search_finds_users_and_items(dump: Dump, shown: Any) -> None:
    items = shown.content["items"]
    word = "number 17"
    found = dump(f"q={quote(word)}")
    wanted = [n for n, text in enumerate(items["text"]) if all(part in text.lower() for part in word.split())]
    assert wanted
    having = [f"User {user['id']}" for user in shown.content["users"] if _has(user, items, word.split())]
    assert 0 < len(having) < 30
    assert users(found) == having
    assert inner(found, "found") == f"{len(having)} of 30 users and {len(wanted)} of 60 items on the map have “{word}”"
    assert found.count('class="match"') == len(wanted)
    assert "<mark>17</mark>" in found


def _has(user: dict[str, Any], items: dict[str, Any], words: list[str]) -> bool:
    shown = [*user["history"], *user["recommended"], user["target"]]
    text = "\n".join([f"user {user['id']}", *(f"{items['text'][n]}\n{items['id'][n]}" for n in shown)]).lower()
    return all(word in text for word in words)


def test_a_search_that_finds_nothing_says_so(dump: Dump) -> None:
    found = dump("q=" + quote("<i>nothing</i>"))
    assert users(found) == []
    assert inner(found, "found").startswith("0 of 30 users and 0 of 60 items")
    assert "No user has that" in found
    assert "<i>nothing" not in found


def test_a_user_is_drawn_on_the_map(dump: Dump, shown: Any) -> None:
    user = shown.content["users"][3]
    found = dump(f"user={quote(user['id'])}&theme=dark&metric=HR%4010&colour=popularity")
    assert 'data-theme="dark"' in found
    assert found.count('<circle class="took"') == len(user["history"])
    assert found.count('<circle class="ring"') == len(user["recommended"])
    assert f"User {user['id']}" in inner(found, "map-user")
    assert f'aria-label="SASRec id: HR@10 {shown.content["groups"][0]["metrics"]["SASRec id"]["HR@10"]:.4f}' in found


def test_it_fits_a_phone(shown: Any, tmp_path: Path) -> None:
    frame = f'<iframe id="f" src="{shown.page.as_uri()}" width="390" height="800"></iframe>'
    script = (
        "<script>f.onload = () => { const d = f.contentDocument.documentElement;"
        "document.title = d.scrollWidth + ' of ' + d.clientWidth; };</script>"
    )
    outer = tmp_path / "frame.html"
    outer.write_text(frame + script)
    command = [
        str(BROWSER), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--allow-file-access-from-files",
        "--disable-web-security", "--dump-dom", outer.as_uri(),
    ]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<title>(\d+) of (\d+)</title>", ran.stdout)
    assert found is not None
    assert int(found[1]) <= int(found[2]) <= 390
