"""Flags without effect are told."""

from typing import Any

import pytest

from plmrs.config import TrainConfig
from plmrs.train.unread import unread

GBCE = "--gbce-t has no effect: the loss is ce, not gbce."
NO_PROMPT = "--prompt-projection, --pre-seq-len have no effect: no prompt trains (--use-prompt)."
NO_BLOCK = "--plm-dropout, --plm-lr have no effect: no block of the PLM trains (--plm-last-n-unfreeze)."


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ({}, []),
        ({"lr": 0.1, "input_type": "id", "max_epochs": 3}, []),
        ({"gbce_t": 0.5}, [GBCE]),
        ({"gbce_t": 0.5, "loss": "gbce"}, []),
        ({"gbce_t": 0.5, "bpr_penalty": 1, "loss": "bpr_max"}, ["the loss is bpr_max, not gbce"]),
        ({"loss_items": "all", "loss": "in_batch"}, ["the loss in_batch ranks among the items of a batch"]),
        ({"loss_items": "all"}, []),
        ({"pre_seq_len": 3, "prompt_projection": True}, [NO_PROMPT]),
        ({"pre_seq_len": 3, "use_prompt": True}, []),
        ({"use_prompt": True, "prompt_projection": False, "prompt_hidden_size": 8}, ["the prompt has no MLP"]),
        ({"plm_lr": 0.1, "plm_dropout": 0.1}, [NO_BLOCK]),
        ({"plm_lr": 0.1, "plm_last_n_unfreeze": 1}, []),
        ({"cache": "there.zarr", "pre_inference": "false"}, ["--cache has no effect: no states are computed"]),
        ({"cache": "there.zarr"}, []),
        ({"cache": "there.zarr", "pre_inference_batch_size": 8}, ["--pre-inference-batch-size has no effect"]),
        ({"plm_last_n_unfreeze": -1, "pre_inference_precision": "32"}, ["no states are computed beforehand"]),
        ({"pooling_method": "mean_last", "whitening": 8}, ["takes the place of whitening"]),
        ({"input_type": "id", "plm_name": "minilm", "whitening": 8}, ["--plm-name, --whitening have no effect: a mod"]),
        ({"input_type": "id", "pre_seq_len": 8, "projection_lr": 1.0}, ["--projection-lr, --pre-seq-len have no eff"]),
    ],
)
def test_flags_without_effect(options: dict[str, Any], lines: list[str]) -> None:
    found = unread(TrainConfig.from_flat(options, dict.fromkeys(options, "flag")))
    assert len(found) == len(lines)
    assert all(line in told for line, told in zip(lines, found, strict=True))
    assert unread(TrainConfig.from_flat(options, dict.fromkeys(options, "preset mind"))) == []
