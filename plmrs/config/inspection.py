"""What `inspect` shows of a thing, and does to it."""

from typing import Literal

from pydantic import ByteSize

from plmrs.config.kinds import Positive
from plmrs.section import Section, option


class InspectOptions(Section):
    """What `inspect` shows, and does to a cache."""

    panel = "What is shown"
    as_json: bool = option(
        False, "Give the tables as one JSON document with the values as they are, and nothing else.", "--json"
    )
    sort: str | None = option(
        None, "Sort the rows of every table that has this column: text from A to Z, numbers from the largest."
    )
    neighbours: str | None = option(
        None, "The items of a cache that are nearest to this one: its id, or a piece of its text that no other has."
    )
    plot: bool = option(False, "Also draw a data set's distributions as PNG files, into its folder.")
    verify: bool = option(
        False, "Compare a data set, or every unit of a cache, with its checksums; recompute some of a cache's texts."
    )
    repair: bool = option(False, "Make again what is damaged or missing in a cache, and nothing else.")
    max_memory: ByteSize | None = option(
        None, "Memory for a PLM, as in 8GiB: how many of its blocks are held at once. Default: what the device has."
    )
    precision: Literal["auto", "32", "bf16", "fp16"] = option(
        "auto", "Weights and states a PLM is reckoned with; auto: bf16 where the device computes in it, else 32."
    )
    tokenized_len: Positive = option(15, "Tokens a text that a PLM's bytes on disk are reckoned with.")
