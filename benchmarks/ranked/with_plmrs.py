"""plmrs, and a bare PyTorch loop over the same model."""

import numpy as np
import torch
from common import BATCH, BEST, BLOCKS, HEADS, LENGTH, WIDTH, measure, read

from plmrs.config import ModelOptions
from plmrs.data.dataset import Histories
from plmrs.data.splits import HeldOut
from plmrs.evaluate.methods import model_method
from plmrs.evaluate.rank import Task, rank
from plmrs.model.recommender import Recommender


def main() -> None:
    n_items, histories, result, repeat = read()
    users = len(histories)
    options = ModelOptions(
        input_type="id",
        sasrec_seq_len=LENGTH,
        sasrec_hidden_size=WIDTH,
        sasrec_inner_size=WIDTH,
        sasrec_n_layers=BLOCKS,
        sasrec_n_heads=HEADS,
        similarity="dot",
    )
    torch.manual_seed(0)
    model = Recommender(options, torch.ones(n_items, dtype=torch.int64)).eval()
    # The target stands behind what a user took.
    flat = np.c_[histories, np.random.default_rng(1).integers(1, n_items + 1, users)].astype(np.int32)
    stop = (LENGTH + 1) * np.arange(1, users + 1) - 1
    held_out = HeldOut(np.arange(users), Histories(flat.reshape(-1), stop - LENGTH, stop), stop)
    method = model_method(model, torch.device("cpu"))

    def ours(k: int) -> None:
        task = Task({"model": method}, held_out, n_items, True, None, k, 512 << 20)
        rank(task, torch.device("cpu"), lambda n=1, note="": None)

    seen = torch.from_numpy(histories) - 1
    target = torch.from_numpy(flat[:, -1:].astype(np.int64)) - 1
    vectors = torch.from_numpy(method.vectors)

    @torch.inference_mode()
    def bare(k: int) -> None:
        for first in range(0, users, BATCH):
            taken, wanted = seen[first : first + BATCH], target[first : first + BATCH]
            scores = model.sasrec(vectors[taken])[:, -1] @ vectors.T
            own = scores.gather(1, wanted)
            scores.scatter_(1, taken, -torch.inf).scatter_(1, wanted, own)
            (scores >= own).sum(dim=1)
            if k:
                scores.topk(k, dim=1)

    ways = {
        "bare loop: ranks": lambda: bare(0),
        f"bare loop: ranks and the best {BEST}": lambda: bare(BEST),
        "plmrs: ranks": lambda: ours(0),
        f"plmrs: ranks and the best {BEST}": lambda: ours(BEST),
    }
    measure(ways, users, repeat, result)


if __name__ == "__main__":
    main()
