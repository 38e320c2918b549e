"""Gathering random items of a cache against one memory-mapped NumPy file that holds the same rows.

    python benchmarks/gather.py [--items 160000] [--width 768] [--tokens 14] [--batch 1280] [--runs 100] [--folder F]

Makes a cache of random states in F (a temporary folder unless it is named; at the sizes above 9 GB with the plain
files) and prints, for pooled rows and for the states of all tokens, the median time of each and their ratio. Both read
from the system's file cache: each file was just written.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plmrs.cache.create import create_cache, new_manifest
from plmrs.cache.find import open_cache
from plmrs.cache.store import Cache
from plmrs.cache.texts import Texts
from plmrs.data.dataset import Dataset
from plmrs.plm.checkpoint import Plm

REPEATED = 0.02
"""Share of the items whose text another item has."""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=160_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--tokens", type=float, default=14, help="of a text, on average")
    parser.add_argument("--batch", type=int, default=1_280, help="items gathered at once")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        random = np.random.default_rng(0)
        cache = make(Path(folder) / "states.zarr", options.items, options.width, options.tokens, random)
        compare(cache, Path(folder), options.batch, options.runs, random)


def make(path: Path, n_items: int, width: int, mean_tokens: float, random: np.random.Generator) -> Cache:
    """A complete cache of random states; the lengths of its texts are spread about their mean as those of titles."""
    n_texts = max(1, int(n_items * (1 - REPEATED)))
    length = np.clip(random.normal(mean_tokens, mean_tokens / 3, n_texts), 3, 2 * mean_tokens).astype(np.int32)
    text_of_item = np.concatenate([random.permutation(n_texts), random.integers(0, n_texts, n_items - n_texts)])
    texts = Texts(np.sort(length)[::-1].copy(), random.permutation(text_of_item).astype(np.int32))
    dataset = Dataset("random", path, {"texts_fingerprint": "random"})
    (path.parent / "config.json").write_text("{}")
    plm = Plm("random", path.parent, "random", None, "bert", width, 1, 512, ())
    cache = create_cache(path, new_manifest(dataset, plm, texts, 30, "32", keep_tokens=True), texts)
    noise = random.normal(size=(cache.layout.most_tokens, width)).astype(np.float16)
    for unit in range(cache.n_units):
        n = np.diff(cache.layout.bounds)[unit]
        pooled = {name: np.roll(noise, unit + i, 0)[:n] for i, name in enumerate(cache.poolings)}
        cache.write_unit(unit, pooled, np.roll(noise, -unit, 0)[: np.diff(cache.layout.tokens)[unit]])
    return cache


def compare(cache: Cache, folder: Path, batch: int, runs: int, random: np.random.Generator) -> None:
    """Print a line for each array and way of reading."""
    text_of_item, length = cache.texts.text_of_item, cache.texts.length.astype(np.int64)
    first = np.cumsum(length) - length
    pooled = plain_file(cache, "mean", folder / "mean")
    hidden = plain_file(cache, "hidden", folder / "hidden")

    def plain_pooled(items: NDArray[np.int64]) -> NDArray[Any]:
        return pooled[text_of_item[items - 1]]

    def plain_hidden(items: NDArray[np.int64]) -> NDArray[Any]:
        text = text_of_item[items - 1]
        n = length[text]
        return hidden[np.arange(n.sum()) + np.repeat(first[text] - (np.cumsum(n) - n), n)]

    held = open_cache(cache.path, memory=cache.n_bytes)
    mapped = open_cache(cache.path)
    print(f"{cache.n_items:,} items of width {cache.hidden_size}, {cache.n_units} units; {batch:,} items at a time")
    for name, plain, ways in (
        (
            "pooled",
            plain_pooled,
            {"mapped": lambda i: mapped.gather(i, "mean"), "held": lambda i: held.gather(i, "mean")},
        ),
        (
            "hidden",
            plain_hidden,
            {"mapped": lambda i: mapped.gather_hidden(i)[0], "held": lambda i: held.gather_hidden(i)[0]},
        ),
    ):
        times = timed({"plain": plain, **ways}, cache.n_items, batch, runs, random)
        for way in ways:
            ratio = times[way] / times["plain"]
            print(f"{name} {way:6} {times[way]:8.2f} ms, one memmap {times['plain']:8.2f} ms, ratio {ratio:.2f}")


def plain_file(cache: Cache, array: str, file: Path) -> NDArray[Any]:
    """The rows of an array in one memory-mapped file, in the order of the texts."""
    with file.open("wb") as out:
        for unit in range(cache.n_units):
            cache.read_unit(unit, array).tofile(out)
    return np.memmap(file, np.float16, "r").reshape(-1, cache.hidden_size)


def timed(
    ways: dict[str, Callable[[NDArray[np.int64]], NDArray[Any]]],
    n_items: int,
    batch: int,
    runs: int,
    random: np.random.Generator,
) -> dict[str, float]:
    """The median milliseconds of each way, on the same items and in turn; their results are compared first."""
    items = random.integers(1, n_items + 1, batch)
    results = [way(items) for way in ways.values()]
    if not all(np.array_equal(results[0], result) for result in results):
        raise SystemExit("The ways differ.")
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        items = random.integers(1, n_items + 1, batch)
        for name in random.permutation(list(ways)):
            start = time.perf_counter()
            ways[name](items)
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


if __name__ == "__main__":
    main()
