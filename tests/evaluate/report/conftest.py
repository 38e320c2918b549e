"""A shop whose titles would break a careless page, and an evaluation of a model trained on it."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plmrs.config import EvaluateConfig, PrepareConfig, TrainConfig
from plmrs.evaluate.command import evaluate
from plmrs.prepare.command import prepare
from plmrs.report import Silent
from plmrs.train.command import train
from plmrs.workspace import Workspace

NASTY = [
    "</script><script>document.title = 'hacked'</script>",
    "<b>bold</b> & <img src=x onerror=\"document.title='hacked'\">",
    "She said \"no\", and 'yes'; {{title}} {{data}}",
    "line\u2028separator \\u003c 漢字 naïve 🦊",
    "<!-- <script> --> ]]> `${document.title = 1}`",
]
ITEMS, USERS = 60, 45


@dataclass(frozen=True)
class Shown:
    """A page, the data within it, and what it was made of."""

    page: Path
    content: dict[str, Any]
    workspace: Workspace


def data_of(page: Path) -> dict[str, Any]:
    """What a page holds, as its script reads it."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """A run `shop-id`, evaluated with `--report` and `--plot`."""
    folder = tmp_path_factory.mktemp("report")
    where = {"root": folder / "data", "runs": folder / "runs"}
    random = np.random.default_rng(0)
    titles = [*NASTY, *(f"A river by number {item}" for item in range(len(NASTY), ITEMS))]
    rows = [
        {"item_id": f"0{item}", "title": title, "category": f"kind {item % 9}"} for item, title in enumerate(titles)
    ]
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    clicks = ["user_id,item_id,timestamp"]
    for user in range(USERS):
        taken = random.permutation(ITEMS)[: random.integers(5, 25)]
        clicks += [f"u<{user}>,0{item},{when}" for when, item in enumerate(taken)]
    (folder / "clicks.csv").write_text("\n".join(clicks) + "\n")
    tables = {"items": folder / "items.jsonl", "interactions": folder / "clicks.csv", "category_column": "category"}
    prepare("shop", PrepareConfig.from_flat({**where, **tables}), Silent())
    options = {"input_type": "id", "max_epochs": 2, "sasrec_hidden_size": 8, "name": "shop-id", "accelerator": "cpu"}
    train(TrainConfig.from_flat({**where, **options}), Silent())
    page = folder / "pages" / "shop.html"
    asked = {"report": page, "plot": True, "bootstrap": 50, "accelerator": "cpu"}
    evaluate("shop-id", EvaluateConfig.from_flat({**where, **asked}), Silent())
    return Shown(page, data_of(page), Workspace(where["root"], where["runs"]))
