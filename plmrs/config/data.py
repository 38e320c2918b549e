"""What `prepare` reads, keeps and holds out, and which data set the other verbs take."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from plmrs.config.kinds import FolderName, Positive, Share
from plmrs.section import Section, option


class RawOptions(Section):
    """The raw files of `prepare`, and the name of what is made of them."""

    panel = "Raw files"
    name: FolderName | None = option(
        None, "Name of the prepared data set; several of one source lie side by side. Default: the source's."
    )
    items: Path | None = option(
        None, "Table of items: csv, tsv, jsonl, parquet or feather, .gz or .zst behind it, or a folder of Parquet."
    )
    interactions: Path | None = option(None, "Table of who took what, in the same formats.")
    item_column: str | None = option(
        None, "Column of item ids. Default: item_id, or what MovieLens, Amazon, RecBole and others call it."
    )
    user_column: str | None = option(None, "Column of user ids. Default: user_id, or what such data sets call it.")
    time_column: str | None = option(None, "Column of times. Default: timestamp or time; without one the row order.")
    text_fields: tuple[str, ...] | None = option(
        None, "Columns joined to the item's text, as in title,abstract. Default: the title.", "--text-columns"
    )
    text_template: str | None = option(None, 'The item\'s text with columns in braces, as in "{title}. {abstract}".')
    category_column: str | None = option(None, "Column of the item's category. Default: category, where there is one.")


class FilterOptions(Section):
    """Which users, items and interactions `prepare` keeps."""

    panel = "What is kept"
    min_item_seq_len: Positive = option(5, "Users with fewer items are dropped.")
    max_item_seq_len: Positive | None = option(None, "Longer histories keep their most recent items.")
    k_core: Positive | None = option(
        None, "Users and items with fewer interactions are dropped until none is left with fewer."
    )
    drop_repeats: Literal["none", "consecutive", "all"] = option(
        "none", "Repeats of an item by a user: keep them, drop those right after another, or drop all but the first."
    )
    sample_users: Positive | None = option(None, "Draw so many users by chance.")
    sample_seed: Annotated[int, Field(ge=0)] = option(42, "Seed of --sample-users.")
    keep_items: Literal["all", "interacted"] = option("all", "Keep items that nobody took, as candidates, or not.")


class SplitOptions(Section):
    """What is trained on, and what is held out."""

    panel = "Split"
    split: Literal["leave_one_out", "ratio", "temporal"] = option(
        "leave_one_out", "Hold out each user's last two items, the last item of some users, or what is newest."
    )
    split_shares: Annotated[tuple[Share, ...], Field(min_length=3, max_length=3)] = option(
        (0.8, 0.1, 0.1), "ratio: shares of users; temporal: of interactions; for training, validation and test."
    )
    split_seed: Annotated[int, Field(ge=0)] = option(42, "Seed that deals users out by ratio.")
    split_times: Annotated[tuple[str, ...], Field(min_length=2, max_length=2)] | None = option(
        None, "temporal: where validation and test begin, as 2019-11-14,2019-11-15. Default: by --split-shares."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if abs(sum(self.split_shares) - 1) > 1e-6 or not all(self.split_shares):
            raise ValueError(f"--split-shares {self.split_shares} are not three shares that make 1 together")
        return self


class DemoOptions(Section):
    """The generated data set."""

    panel = "Demo"
    demo_seed: Annotated[int, Field(ge=0)] = option(7, "Seed of the generated catalogue and its readers.")


class DatasetOptions(Section):
    """The prepared data set."""

    panel = "Data"
    dataset: str | None = option(None, "Prepared data set. Default: the one prepared last.")
