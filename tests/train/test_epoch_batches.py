import numpy as np
import pytest
import torch

from plmrs.config import LossOptions, ModelOptions, TrainerOptions
from plmrs.config.training import NEGATIVES
from plmrs.data.dataset import Histories
from plmrs.train.data import Batches, epoch_batches, new_sampling, user_chunks

STOP = np.cumsum([3, 9, 14, 30, 2])
TRAIN = Histories(np.arange(1, STOP[-1] + 1, dtype=np.int32), np.r_[0, STOP[:-1]], STOP)
MODEL = ModelOptions(sasrec_seq_len=5)


def batches_of(trainer: TrainerOptions, epoch: int = 0, rank: int = 0, processes: int = 1, **loss) -> Batches:
    sampling = new_sampling(TRAIN, 70, LossOptions(**{"loss": "ce"} | loss), trainer, None)
    return epoch_batches(sampling, MODEL, trainer, epoch, rank, processes)


def targets(batches) -> list[int]:
    windows = [batch.windows for batch in batches]
    return sorted(int(item) for batch in windows for item in batch[:, 1:][batch[:, 1:] > 0])


def test_an_epoch_has_every_target_once_and_no_batch_is_too_large():
    batches = list(batches_of(TrainerOptions(batch_size=4)))
    firsts = {1, *(STOP[:-1] + 1).tolist()}
    assert targets(batches) == [item for item in range(1, STOP[-1] + 1) if item not in firsts]
    assert all(batch.windows.shape[0] <= 4 and batch.windows.shape[1] <= 6 for batch in batches)
    assert len(batches) == len(batches_of(TrainerOptions(batch_size=4)))


def test_the_order_follows_from_seed_and_epoch():
    def first(seed: int, epoch: int) -> torch.Tensor:
        return torch.cat([batch.windows.flatten() for batch in batches_of(TrainerOptions(seed=seed), epoch)])

    assert torch.equal(first(1, 3), first(1, 3))
    assert not torch.equal(first(1, 3)[:20], first(1, 4)[:20])
    assert not torch.equal(first(1, 3)[:20], first(2, 3)[:20])


def test_processes_share_the_windows_and_take_the_same_number_of_steps():
    trainer = TrainerOptions(batch_size=2)
    whole = targets(batches_of(trainer))
    parts = [batches_of(trainer, 0, rank, 2) for rank in range(2)]
    assert len(parts[0]) == len(parts[1])
    assert set(targets(parts[0])) | set(targets(parts[1])) == set(whole)


@pytest.mark.parametrize(("users", "processes"), [(10, 1), (10, 3), (2, 3)])
def test_each_user_is_validated_by_one_process(users, processes):
    chunks = [chunk for rank in range(processes) for chunk in user_chunks(users, 4, rank, processes)]
    assert sorted(user for chunk in chunks for user in range(chunk.start, chunk.stop)) == list(range(users))


@pytest.mark.parametrize("loss", ["in_batch", *NEGATIVES])
def test_a_batch_names_each_item_it_needs_once(loss):
    trainer = TrainerOptions(batch_size=4)
    for batch in batches_of(trainer, loss=loss, negatives=None if loss == "in_batch" else 3):
        drawn = [] if batch.negatives is None else batch.negatives.flatten().tolist()
        assert batch.items.tolist() == sorted({*batch.windows.flatten().tolist(), *drawn} - {0})
        shape = {"in_batch": None, "sampled": (3,)}.get(loss, (*batch.windows[:, 1:].shape, 3))
        assert (None if batch.negatives is None else tuple(batch.negatives.shape)) == shape


@pytest.mark.parametrize("which", ["train", "all"])
def test_negatives_lie_outside_of_the_users_whole_history(which):
    of = {
        item: user
        for user, (first, stop) in enumerate(zip([0, *STOP], STOP, strict=False))
        for item in range(first + 1, stop + 1)
    }
    drawn = set()
    for batch in batches_of(TrainerOptions(batch_size=4), loss="bce", negatives=50, loss_items=which):
        for window, negatives in zip(batch.windows, batch.negatives, strict=True):
            drawn.update(negatives[window[1:] > 0].flatten().tolist())
            assert all(of.get(item) != of[int(window[0])] for item in negatives[window[1:] > 0].flatten().tolist())
    assert drawn == set(range(1, (STOP[-1] if which == "train" else 70) + 1))


def test_threads_that_make_batches_ahead_change_nothing():
    plain = list(batches_of(TrainerOptions(batch_size=4), loss="bce"))
    ahead = list(batches_of(TrainerOptions(batch_size=4, num_workers=3), loss="bce"))
    assert len(plain) == len(ahead)
    for one, other in zip(plain, ahead, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one[:3], other[:3], strict=True))
