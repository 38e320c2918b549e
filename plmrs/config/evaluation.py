"""What is ranked, how it is measured, and where the numbers go."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from plmrs.config.kinds import Positive, ScoresMemory
from plmrs.section import Section, option


class EvaluateOptions(Section):
    """Full ranking, in training's validation too."""

    panel = "Protocol"
    topk_list: Annotated[tuple[Positive, ...], Field(min_length=1)] = option((5, 10, 20), "Cut-offs k of the metrics.")
    mask_seen: bool = option(True, "Rank without the user's earlier items.")


class RankingOptions(Section):
    """Whose targets are ranked among what."""

    panel = "Protocol"
    split: Literal["test", "val"] = option("test", "Whose targets are ranked.")
    candidates: str = option(
        "all",
        "What a target is ranked among: all items, those that anyone took (interacted), those that training has"
        " (train), or those of a FILE with an id a line.",
    )
    bootstrap: Annotated[int, Field(ge=0, le=1_000_000)] = option(
        1000, "Samples of the users that 95 % intervals are taken from; 0 gives none."
    )
    memory: ScoresMemory = option("512MiB", "Memory of what is scored at once; less is taken where that is quicker.")


class ResultOptions(Section):
    """Where the numbers go besides the screen."""

    panel = "Results"
    output: str | None = option(None, "Write the tables to FILE.json, .csv, .md or .tex; several with commas between.")
    per_user: str | None = option(None, "Write each user's target and its rank to FILE.parquet.")
    report: Path | None = option(None, "Write a page to look at to FILE.html; it is one file that needs no network.")
    plot: bool = option(False, "Also draw the page's charts as PNG files, into the run's folder plots/.")
