"""Ranking in several processes beside ranking in one."""

import numpy as np
import torch

from plmrs.data.dataset import Histories
from plmrs.data.splits import HeldOut
from plmrs.evaluate.baselines import ItemKnn, LastItemCosine, Popularity, item_similarity
from plmrs.evaluate.rank import Task, rank, rank_in_processes

CPU = torch.device("cpu")


def task(users: int, items: int, **methods) -> Task:
    rng = np.random.default_rng(0)
    taken = rng.integers(1, items + 1, 6 * users, dtype=np.int32)
    start = 6 * np.arange(users)
    held_out = HeldOut(np.arange(users), Histories(taken, start, start + 5), start + 5)
    if not methods:
        similarity = item_similarity(Histories(taken, start, start + 4), items, 20)
        methods = {
            "popularity": Popularity(np.bincount(taken - 1, minlength=items)),
            "cosine": LastItemCosine(rng.standard_normal((items, 24)).astype(np.float32)),
            "neighbours": ItemKnn(similarity),
        }
    return Task(methods, held_out, items, True, rng.random(items) < 0.1, 10, 4 << 20)


def test_the_processes_shares_are_the_whole(quick_processes):
    told, shared = task(600, 1500), []
    found = rank_in_processes(told, [CPU, CPU], lambda n=1, note="": shared.append(n))
    alone = rank(told, CPU, lambda n=1, note="": None)
    assert list(found) == ["popularity", "cosine", "neighbours"]
    for name, expected in alone.items():
        np.testing.assert_array_equal(found[name].ranks, expected.ranks)
        np.testing.assert_array_equal(found[name].shown, expected.shown)
        assert len(expected.ranks) == 600
        assert 0 < expected.shown.sum() <= 6000
    assert sum(shared) == 3 * 600


def test_more_processes_than_blocks_of_users_and_a_share_each_in_one():
    told = task(300, 50)
    whole = rank(told, CPU, lambda n=1, note="": None)["cosine"]
    parts = [rank(told, CPU, lambda n=1, note="": None, number, 5)["cosine"] for number in range(5)]
    np.testing.assert_array_equal(np.concatenate([part.ranks for part in parts]), whole.ranks)
    np.testing.assert_array_equal(sum(part.shown for part in parts), whole.shown)
    assert sorted(len(part.ranks) for part in parts) == [0, 0, 0, 44, 256]
