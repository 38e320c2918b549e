import numpy as np
import pytest
import torch

from plmrs.config import ModelOptions, TrainerOptions
from plmrs.data.dataset import Histories
from plmrs.train.data import epoch_batches, user_chunks

STOP = np.cumsum([3, 9, 14, 30, 2])
TRAIN = Histories(np.arange(1, STOP[-1] + 1, dtype=np.int32), np.r_[0, STOP[:-1]], STOP)
MODEL = ModelOptions(sasrec_seq_len=5)


def targets(batches) -> list[int]:
    return sorted(int(item) for batch in batches for item in batch[:, 1:][batch[:, 1:] > 0])


def test_an_epoch_has_every_target_once_and_no_batch_is_too_large():
    batches = list(epoch_batches(TRAIN, MODEL, TrainerOptions(batch_size=4), epoch=0))
    firsts = {1, *(STOP[:-1] + 1).tolist()}
    assert targets(batches) == [item for item in range(1, STOP[-1] + 1) if item not in firsts]
    assert all(batch.shape[0] <= 4 and batch.shape[1] <= 6 for batch in batches)
    assert len(batches) == len(epoch_batches(TRAIN, MODEL, TrainerOptions(batch_size=4), epoch=0))


def test_the_order_follows_from_seed_and_epoch():
    def first(seed: int, epoch: int) -> torch.Tensor:
        return torch.cat([batch.flatten() for batch in epoch_batches(TRAIN, MODEL, TrainerOptions(seed=seed), epoch)])

    assert torch.equal(first(1, 3), first(1, 3))
    assert not torch.equal(first(1, 3)[:20], first(1, 4)[:20])
    assert not torch.equal(first(1, 3)[:20], first(2, 3)[:20])


def test_processes_share_the_windows_and_take_the_same_number_of_steps():
    trainer = TrainerOptions(batch_size=2)
    whole = targets(epoch_batches(TRAIN, MODEL, trainer, 0))
    parts = [epoch_batches(TRAIN, MODEL, trainer, 0, rank, 2) for rank in range(2)]
    assert len(parts[0]) == len(parts[1])
    assert set(targets(parts[0])) | set(targets(parts[1])) == set(whole)


@pytest.mark.parametrize(("users", "processes"), [(10, 1), (10, 3), (2, 3)])
def test_each_user_is_validated_by_one_process(users, processes):
    chunks = [chunk for rank in range(processes) for chunk in user_chunks(users, 4, rank, processes)]
    assert sorted(user for chunk in chunks for user in range(chunk.start, chunk.stop)) == list(range(users))
