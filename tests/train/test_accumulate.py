"""Batches that make a step together, beside one batch that has all their windows."""

from typing import Any

import pytest
from compared import assert_same_weights, curve
from tiny import TINY

# 40 windows of 2 to 8 targets: the batches of a step have different numbers of them, the last step has fewer batches.
OPTIONS: dict[str, Any] = {**TINY, "input_type": "id", "sasrec_hidden_dropout": 0.0, "max_epochs": 2, "lr": 0.01}


@pytest.mark.parametrize(
    "options",
    [{"windows": "last"}, {"windows": "last", "gradient_clip": 0.5}, {"windows": "all", "lr_schedule": "linear"}],
    ids=["last", "clipped", "all, falling rates"],
)
def test_small_batches_take_the_steps_of_one_large_batch(training, tmp_path, options):
    training({**OPTIONS, **options, "batch_size": 16, "name": "large"})
    for size, n in ((8, 2), (1, 16)):
        training({**OPTIONS, **options, "batch_size": size, "accumulate": n, "name": f"small-{size}"})
        one, other = tmp_path / "runs" / "large", tmp_path / "runs" / f"small-{size}"
        assert curve(other) == pytest.approx(curve(one), rel=1e-5)
        assert curve(other, "NDCG@20") == curve(one, "NDCG@20")
        assert_same_weights(other, one)
