import torch

from plmrs.plm.pooling import POOLINGS, pool

HIDDEN = torch.tensor([[[1.0], [2.0], [6.0], [float("nan")]], [[4.0], [8.0], [0.0], [0.0]]])


def test_pooling_leaves_padding_out() -> None:
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    pooled = {name: vectors.squeeze(1).tolist() for name, vectors in pool(HIDDEN, mask).items()}
    assert pooled == {"mean": [3.0, 6.0], "last": [6.0, 8.0], "cls": [1.0, 4.0]}


def test_without_padding_there_is_no_mask() -> None:
    for states in (HIDDEN[:, :2], torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(0))):
        without, full = pool(states, None), pool(states, torch.ones(states.shape[:2], dtype=torch.int64))
        for name in POOLINGS:
            assert torch.allclose(without[name], full[name], atol=1e-6), name


def test_vectors_are_float32_whatever_the_states_are() -> None:
    states = torch.full((1, 300, 1), 300.0, dtype=torch.float16)  # Their sum is more than float16 holds.
    for mask in (None, torch.ones(1, 300, dtype=torch.int64)):
        pooled = pool(states, mask)
        assert {vectors.dtype for vectors in pooled.values()} == {torch.float32}
        assert pooled["mean"].item() == 300.0
