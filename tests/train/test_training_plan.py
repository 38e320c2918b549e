"""A dry run tells what would be trained, and writes nothing."""

from pathlib import Path

import pytest

from plmrs.config import TrainConfig
from plmrs.errors import UserError
from plmrs.report import Silent
from plmrs.train.command import train

OPTIONS = {
    "dataset": "small",
    "input_type": "text",
    "sasrec_hidden_size": 16,
    "sasrec_inner_size": 64,
    "sasrec_n_layers": 2,
    "sasrec_seq_len": 8,
    "batch_size": 16,
    "whitening": 8,
    "windows": "last",
    "accelerator": "cpu",
    "dry_run": True,
    "tokenized_len": 13,  # as no other test has it, so that no cache is there
}
WIDTH = 32
NORM = 2 * WIDTH
EMBEDDINGS = (400 + 64 + 2) * WIDTH + NORM
BLOCK = 4 * (WIDTH * WIDTH + WIDTH) + NORM + (WIDTH * 64 + 64) + (64 * WIDTH + WIDTH) + NORM
PROJECTION = (8 * 8 + 8) + (8 * 16 + 16)  # from 8 whitened dimensions
SASREC_BLOCK = 4 * (16 * 16 + 16) + 2 * 16 + (16 * 64 + 64) + (64 * 16 + 16) + 2 * 16
SASREC = 8 * 16 + 2 * 16 + 2 * SASREC_BLOCK


@pytest.fixture
def planned(make_dataset, small_workspace, small_dataset, tiny_bert, tmp_path):
    """The table of a dry run, by part, and its notes; nothing below the workspace may change."""
    places = {"root": small_workspace.root, "runs": tmp_path / "runs", "plm_name": str(tiny_bert)}

    def files() -> list[Path]:
        return sorted([*small_workspace.root.rglob("*"), *tmp_path.rglob("*")])

    def make(**options):
        before = files()
        config = TrainConfig.from_flat({**OPTIONS, **places, **options}, dict.fromkeys(options, "flag"))
        (table,) = train(config, Silent())
        assert files() == before
        return {row[0]: tuple(row[1:]) for row in table.rows}, " ".join(table.notes)

    return make


def test_parameters_are_those_counted_by_hand(planned):
    parts, notes = planned()
    common = {"temperature": (1, 0), "projection": (PROJECTION, 0), "SASRec": (SASREC, 0)}
    assert parts == {**common, "in all": (1 + PROJECTION + SASREC, 0)}
    assert "The cache it reads is to be made first" in notes
    # 40 users, 16 a batch.
    assert "40 windows of 40 users: 3 batches of 16 an epoch; 100 epochs at most." in notes
    assert "Loss ce, over " in notes

    parts, notes = planned(plm_last_n_unfreeze=1)
    assert parts == {**common, "PLM": (BLOCK, 0), "in all": (1 + PROJECTION + SASREC + BLOCK, 0)}
    assert "The cache it reads is to be made first" in notes
    assert "Loss in_batch, over " in notes

    parts, notes = planned(plm_last_n_unfreeze=1, pre_inference="false")
    assert parts["PLM"] == (BLOCK, EMBEDDINGS + BLOCK)
    assert parts["in all"] == (1 + PROJECTION + SASREC + BLOCK, EMBEDDINGS + BLOCK)
    assert "no cache is used" in notes
    mib = 4 * (1 + PROJECTION + SASREC + EMBEDDINGS + 2 * BLOCK) / 2**20
    assert notes.startswith(f"{mib:,.0f} MiB of weights")

    assert planned(plm_last_n_unfreeze=-1)[0]["PLM"] == (EMBEDDINGS + 2 * BLOCK, 0)


def test_a_prompt_and_an_item_table_are_parts_of_their_own(planned):
    prompt = {"use_prompt": True, "prompt_projection": False, "pre_seq_len": 3}
    parts, _ = planned(input_type="text+id", **prompt)
    assert parts["prompt and pooling"] == (3 * 2 * 2 * WIDTH, 0)  # a key and a value in each of 2 blocks
    assert parts["PLM"] == (0, EMBEDDINGS + 2 * BLOCK)
    assert parts["item table"][0] == 600 * 16
    parts, notes = planned(input_type="id")
    assert parts.keys() == {"temperature", "item table", "SASRec", "in all"}
    assert "cache" not in notes


def test_the_cache_it_would_read_is_named(configured_cache, planned):
    _, notes = planned(cache=str(configured_cache.path))
    assert f"Reads the cache {configured_cache.path}" in notes


@pytest.fixture
def configured_cache(small_workspace, small_dataset, tiny_bert):
    from plmrs.config import DeviceOptions, PreinferOptions
    from plmrs.preinfer.command import make_cache

    device = DeviceOptions(accelerator="cpu")
    return make_cache(small_workspace, small_dataset, str(tiny_bert), 12, PreinferOptions(), device, Silent())


def test_a_data_set_that_is_not_prepared_is_not_prepared(planned):
    with pytest.raises(UserError, match="demo is not prepared, and a dry run writes nothing"):
        planned(dataset="demo")
