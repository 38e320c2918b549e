"""A loss that is no number is told with its cause."""

import numpy as np
import pytest
from tiny import TINY

from plmrs.config import TrainConfig
from plmrs.errors import UserError
from plmrs.model import load
from plmrs.model.inputs import Texts
from plmrs.report import Silent
from plmrs.train import callbacks
from plmrs.train.command import train

OPTIONS = {
    **TINY,
    "input_type": "id",
    "similarity": "dot",
    "weight_decay": 0,
    "whitening": 8,
    "windows": "last",
    "max_epochs": 2,
    "batch_size": 8,
}


@pytest.fixture
def error(small_workspace, small_dataset, tiny_bert, tmp_path, monkeypatch):
    """The error a training ends with, when the loss of every step is read."""
    monkeypatch.setattr(callbacks, "LOG_STEPS", 1)
    places = {"root": small_workspace.root, "runs": tmp_path / "runs", "plm_name": str(tiny_bert)}

    def find(**options) -> UserError:
        with pytest.raises(UserError) as caught:
            train(TrainConfig.from_flat({**OPTIONS, **places, **options}, dict.fromkeys(options, "flag")), Silent())
        return caught.value

    return find


def test_a_rate_that_is_too_high_leaves_weights_that_are_no_numbers(error):
    found = error(lr=1e30)
    assert found.message.startswith("The loss is not a number in epoch 1, step 2.")
    assert "weights are not finite any more, among them " in found.message
    assert "Lower --lr (now 1e+30), or give --gradient-clip 1" in found.remedy


def test_the_rate_of_the_plm_is_named_if_its_weights_are_meant(error):
    found = error(input_type="text", plm_last_n_unfreeze=-1, plm_lr=1e30, lr=1e-9)
    assert "among them items.plm." in found.message
    assert "Lower --plm-lr (now 1e+30)" in found.remedy


def test_a_step_that_overflows_is_told_before_it_reaches_the_weights(error):
    # Two batches make a step: the third is the first one after it, and changes nothing itself.
    found = error(lr=1e30, accumulate=2)
    assert found.message.startswith("The loss is not a number in epoch 1, step 3. All weights are finite")
    assert "Lower --lr (now 1e+30), or give --gradient-clip 1." in found.remedy


def test_states_that_are_no_numbers_are_looked_for_in_the_cache(error, monkeypatch):
    usual = load.cached_states

    def damaged(cache):
        def texts(rows):
            found = usual(cache)(rows)
            states = found.inputs.clone()
            states[0, 0] = np.nan
            return Texts(states, found.lengths)

        return texts

    monkeypatch.setattr(load, "cached_states", damaged)
    found = error(input_type="text", plm_last_n_unfreeze=1, whitening="none")
    assert "The states it reads from the cache are not finite" in found.message
    assert "plmrs inspect CACHE --verify" in found.remedy
