"""What is recommended to whom, and what of a model is exported."""

from pathlib import Path
from typing import Literal

from plmrs.config.kinds import Positive, ScoresMemory
from plmrs.section import Section, option


class RecommendOptions(Section):
    """Who gets how many items, out of which."""

    panel = "Recommendations"
    users: tuple[str, ...] | None = option(
        None, "Users' ids, with spaces or commas between, or a FILE with one a line. Default: all users.", words=True
    )
    history: tuple[str, ...] | None = option(
        None, "Item ids of one history, oldest first, instead of users of the data set.", words=True
    )
    topk: Positive = option(10, "Items a user.", "-k")
    mask_seen: bool = option(True, "Leave out what is in the user's history.")
    candidates: str = option(
        "all",
        "What is recommended from: all items, those that anyone took (interacted), those that training has (train), or"
        " those of a FILE with an id a line.",
    )
    output: Path | None = option(None, "Write FILE.parquet, .csv or .jsonl. Default: a table of the first users.")
    memory: ScoresMemory = option(
        "512MiB", "Memory of what is scored at once, as in 512MiB; less is taken where that is quicker."
    )


class NewItemOptions(Section):
    """Items that the data set does not have."""

    panel = "New items"
    items: Path | None = option(
        None, "Table of new items to rank with the rest: their ids and texts, in any format that prepare reads."
    )
    item_column: str | None = option(
        None, "Its column of item ids. Default: as in the data set, or as prepare guesses."
    )
    text_fields: tuple[str, ...] | None = option(
        None, "Its columns joined to the text. Default: as in the data set, or as prepare guesses.", "--text-columns"
    )
    text_template: str | None = option(None, 'The text with its columns in braces, as in "{title}. {abstract}".')


class ExportOptions(Section):
    """What a model is taken apart into."""

    panel = "Export"
    output: Path | None = option(None, "Folder to be made. Default: export, in the run's folder.")
    vectors: Literal["safetensors", "npy"] = option("safetensors", "Format of the item vectors.")
