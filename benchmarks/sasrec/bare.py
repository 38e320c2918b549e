"""SASRec in a bare PyTorch loop: nothing but tensors, a model and an optimiser; what a library can hope to reach.

The blocks are those of plmrs (norms behind residuals, fused attention without dropout on its weights), the scores plain
products. `--loss chunks` takes the cross-entropy 256 positions at a time, each chunk's gradients at once; `--loss
whole` takes it over all positions, as most programs do.
"""

import contextlib

import numpy as np
import torch
from measure import BATCH, BLOCKS, DROPOUT, HEADS, LENGTH, RATE, WIDTH, Clock, TimeIsUpError, read_task
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the customary name

CHUNK = 256


class Block(nn.Module):
    """Self-attention and a feed-forward layer."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.inner, self.outer = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, H] -> [B, L, H]"""
        # [B, L, 3H] -> 3 x [B, heads, L, H / heads]
        q, k, v = self.qkv(x).view(len(x), -1, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(x.shape)
        x = self.attention_norm(x + F.dropout(self.out(mixed), DROPOUT, self.training))
        fed = self.outer(F.gelu(self.inner(x)))
        return self.feed_forward_norm(x + F.dropout(fed, DROPOUT, self.training))


class SASRec(nn.Module):
    """States behind every position of histories padded on the right, where no position looks."""

    def __init__(self, n_items: int) -> None:
        super().__init__()
        self.items, self.positions = nn.Embedding(n_items, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, histories: Tensor) -> Tensor:
        """[B, L] -> [B, L, H]"""
        x = self.items((histories - 1).clamp(min=0)) + self.positions(torch.arange(histories.shape[1]))
        x = F.dropout(self.norm(x), DROPOUT, self.training)
        for block in self.blocks:
            x = block(x)
        return x


def backward_whole(states: Tensor, items: Tensor, targets: Tensor) -> None:
    """Gradients of the mean cross-entropy. [positions, H], [items, H], [positions]"""
    F.cross_entropy(states @ items.T, targets).backward()


def backward_chunks(states: Tensor, items: Tensor, targets: Tensor) -> None:
    """The same gradients, with no more than a chunk's logits at a time."""
    leaf = states.detach().requires_grad_()
    for first in range(0, len(targets), CHUNK):
        chunk = slice(first, first + CHUNK)
        (F.cross_entropy(leaf[chunk] @ items.T, targets[chunk], reduction="sum") / len(targets)).backward()
    states.backward(leaf.grad)


def main() -> None:
    task = read_task()
    backward = {"chunks": backward_chunks, "whole": backward_whole}[task.more[1]]
    windows = torch.from_numpy(task.windows)
    model = SASRec(task.n_items)
    optimiser = torch.optim.AdamW(model.parameters(), RATE)
    clock = Clock(task)
    with contextlib.suppress(TimeIsUpError):
        while True:
            for rows in torch.randperm(len(windows)).split(BATCH):
                batch = windows[rows]
                real = batch[:, 1:] > 0
                optimiser.zero_grad()
                backward(model(batch[:, :-1])[real], model.items.weight, batch[:, 1:][real] - 1)
                optimiser.step()
    model.eval()

    def scores(histories: NDArray[np.int64]) -> Tensor:
        given = torch.from_numpy(histories)
        last = (given > 0).sum(dim=1) - 1
        return model(given)[torch.arange(len(given)), last] @ model.items.weight.T

    clock.report(torch.__version__, scores)


if __name__ == "__main__":
    main()
