"""Memory and time of full cross-entropy over large catalogues, beside plain `torch.nn.functional.cross_entropy`.

    python benchmarks/catalogue.py [--items 10000 100000 1000000] [--batches 32 128] [--length 50] [--width 64]
                                   [--plain-gib 1] [--output benchmarks/results/catalogue.md]

A step is what training does behind the encoder: item table and states to unit length, a learned temperature, the loss,
its gradients, and AdamW on the table. Each is a process of its own, from importing torch on, whose peak memory is the
system's count. The plain loss is left out where its logits alone are larger than --plain-gib.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

MOST_GIB = 3.0  # the goal over 1,000,000 items
RESULTS = Path(__file__).with_name("results") / "catalogue.md"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128], help="windows of a step")
    parser.add_argument("--length", type=int, default=50, help="positions of a window")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--plain-gib", type=float, default=1.0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--step", nargs=3, metavar=("METHOD", "ITEMS", "POSITIONS"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.step:
        method, items, positions = options.step
        print(json.dumps(step(method, int(items), int(positions), options.width)))
        return
    rows = ["| catalogue | positions | logits, GiB | loss | peak, GiB | seconds | nats |"]
    rows.append("| --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(rows), flush=True)
    for items in options.items:
        for positions in [batch * options.length for batch in options.batches]:
            logits = 4 * positions * items / 2**30
            for method in ("plmrs", "plain"):
                found = ["not run", "", ""]
                if method == "plmrs" or logits <= options.plain_gib:
                    told = in_process(method, items, positions, options.width)
                    found = [f"{told['gib']:.2f}", f"{told['seconds']:.1f}", f"{told['loss']:.4f}"]
                rows.append(f"| {' | '.join([f'{items:,}', f'{positions:,}', f'{logits:.2f}', method, *found])} |")
                print(rows[-1], flush=True)
    options.output.write_text(page(rows, options.width))


def in_process(method: str, items: int, positions: int, width: int) -> dict[str, Any]:
    """Run a step in a process of its own. This one stays small: a child's peak counts what its parent held."""
    command = [sys.executable, __file__, "--width", str(width), "--step", method, str(items), str(positions)]
    told: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return told


def step(method: str, items: int, positions: int, width: int) -> dict[str, float]:
    """One training step: the loss, its seconds, and the peak memory of this process."""
    import torch
    from torch.nn import functional as F  # noqa: N812 - the customary name

    from plmrs.model.losses import full_cross_entropy

    torch.manual_seed(0)
    table = torch.nn.Parameter(torch.randn(items, width))
    states = torch.randn(positions, width, requires_grad=True)
    log_scale = torch.nn.Parameter(torch.tensor(1 / 0.07).log())
    targets = torch.randint(0, items, (positions,))
    optimiser = torch.optim.AdamW([table, log_scale], foreach=False)
    start = time.perf_counter()
    queries, candidates = F.normalize(states, dim=-1) * log_scale.exp(), F.normalize(table, dim=-1)
    if method == "plmrs":
        loss = full_cross_entropy(queries, candidates, targets)
    else:
        loss = F.cross_entropy(queries @ candidates.T, targets)
    loss.backward()
    optimiser.step()
    seconds = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
    return {"loss": loss.item(), "seconds": seconds, "gib": peak}


def page(rows: list[str], width: int) -> str:
    """What is written beside the other results."""
    threads = os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))
    return "\n".join(
        [
            "# Cross-entropy over large catalogues",
            "",
            f"`python benchmarks/catalogue.py`, one step each in a process of its own: unit length, temperature, loss, "
            f"gradients, AdamW on the item table. Width {width}, float32, {platform.machine()}, "
            f"{threads} CPU thread(s), which other work shared. Peak memory is the whole process, torch included; "
            "`logits` is what positions × catalogue would take once. "
            f"The goal for 1,000,000 items and 6,400 positions is less than {MOST_GIB:g} GiB.",
            "",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main()
