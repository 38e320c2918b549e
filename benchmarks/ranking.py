"""Full ranking: users a second beside a bare loop, and 100,000 users among 1,000,000 items within 2 GiB.

    python benchmarks/ranking.py speed [--users 20000] [--items 3400] [--repeat 5]
    python benchmarks/ranking.py large [--users 100000] [--items 1000000] [--lists 10]

Users' and items' vectors are drawn by chance, of width 64; each user has taken 50 items, which are masked.

speed: the median of some rounds, in each of which all take their turn.

- bare loop: for 256 users at a time `q @ V.T`, seen items set to -inf, the scores not below the target's counted.
- plmrs: the same by `plmrs.model.ranking`, and once more with the best 20 items of each user.

large: the seconds it takes and the peak of the process's memory; `--lists` also keeps the best items of each user.
"""

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from plmrs.data.dataset import Histories
from plmrs.data.splits import HeldOut
from plmrs.model.ranking import Products, blocks, new_buffer, rank_block

WIDTH, TAKEN, AT_ONCE = 64, 50, 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "large"])
    parser.add_argument("--users", type=int)
    parser.add_argument("--items", type=int)
    parser.add_argument("--lists", type=int, default=0, help="large: items a user that are kept")
    parser.add_argument("--memory", type=int, default=512, help="MiB of what is scored at once")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    large = options.what == "large"
    users, items = options.users or (100_000 if large else 20_000), options.items or (1_000_000 if large else 3_400)
    queries, vectors, held_out = drawn(users, items)
    print(f"{users:,} users, {items:,} items, width {WIDTH}, {options.threads} threads", flush=True)
    if large:
        start = time.perf_counter()
        ranks = plmrs(queries, vectors, held_out, options.memory, options.lists)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{seconds:,.0f} s, {users / seconds:,.0f} users/s, peak {peak:.2f} GiB, median rank {ranks.median():,}")
        return
    ways: dict[str, Callable[[], Tensor]] = {
        "bare loop": lambda: bare(queries, vectors, held_out),
        "plmrs": lambda: plmrs(queries, vectors, held_out, options.memory),
        "plmrs, and the best 20": lambda: plmrs(queries, vectors, held_out, options.memory, 20),
    }
    seconds_of: dict[str, list[float]] = {name: [] for name in ways}
    ranks_of = {}
    for _ in range(options.repeat + 1):  # the first round warms up
        for name, way in ways.items():
            start = time.perf_counter()
            ranks_of[name] = way()
            seconds_of[name].append(time.perf_counter() - start)
    base = statistics.median(seconds_of["bare loop"][1:])
    print("\n| way | users/s | × bare loop | ranks as the bare loop's |\n| --- | ---: | ---: | ---: |")
    for name, all_seconds in seconds_of.items():
        median = statistics.median(all_seconds[1:])
        same = (ranks_of[name] == ranks_of["bare loop"]).double().mean()
        print(f"| {name} | {users / median:,.0f} | {base / median:.2f} | {same:.2%} |")


def drawn(users: int, items: int) -> tuple[Tensor, Tensor, HeldOut]:
    """Vectors of users and items, and what each user took before a target."""
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(users, WIDTH, generator=generator)
    vectors = torch.randn(items, WIDTH, generator=generator)
    taken = np.random.default_rng(0).integers(1, items + 1, users * (TAKEN + 1), dtype=np.int32)
    places = (TAKEN + 1) * np.arange(users) + TAKEN
    return queries, vectors, HeldOut(np.arange(users), Histories(taken, places - TAKEN, places), places)


@torch.inference_mode()
def plmrs(queries: Tensor, vectors: Tensor, held_out: HeldOut, memory: int, k: int = 0) -> Tensor:
    """Ranks as `plmrs evaluate` finds them. [users]"""
    n_items = len(vectors)
    buffer = new_buffer(n_items, memory << 20)
    found = []
    for block in blocks(len(queries)):
        scores = Products(queries[block], vectors)
        found.append(rank_block(scores, held_out.take(block), n_items, buffer, k=k)[0])
    return torch.cat(found)


@torch.inference_mode()
def bare(queries: Tensor, vectors: Tensor, held_out: HeldOut) -> Tensor:
    """Ranks as a script would find them. [users]"""
    seen = torch.from_numpy(held_out.inputs.items.astype(np.int64)).view(-1, TAKEN + 1) - 1
    found = []
    for first in range(0, len(queries), AT_ONCE):
        taken = seen[first : first + AT_ONCE]
        scores = queries[first : first + AT_ONCE] @ vectors.T
        own = scores.gather(1, taken[:, -1:])
        scores.scatter_(1, taken[:, :-1], -torch.inf)
        scores.scatter_(1, taken[:, -1:], own)
        found.append((scores >= own).sum(dim=1))
    return torch.cat(found)


if __name__ == "__main__":
    main()
