"""Tuning the top 2 blocks of a PLM: plmrs, from cached states, beside the naive way, in one run.

    python benchmarks/tuning.py FOLDER [--work WORK] [--repeat 2] [--seconds 60] [--bf16] [--only minilm random]

FOLDER holds items.tsv and interactions.tsv, as goodbooks has them. Both contenders start from the same weights, read
the same batches (64 windows of 21 items) and minimise the same in-batch loss; each runs in a process of its own, in
turn, `--repeat` times.

- naive: as the original tool does, each of the 64 × 21 slots of a batch sends its text, padded to 30 tokens, through
  all of Hugging Face's model; no gradients are kept for what is frozen.
- plmrs: the items that differ, by their real tokens, through the top blocks alone, on states that lie in a cache.
- plmrs, checkpointing: the same with `--gradient-checkpointing`, which trades time for memory.

The PLMs are the packaged MiniLM (6 blocks of width 384) and one of BERT's shape with `--blocks` blocks of that width,
random weights and MiniLM's tokenizer. The losses of the first batch, in float32 from a cache in float32 and without
dropout, are compared first. Steps a second are the inverse of the median step, the first of each process left out; the
processor's seconds of a step say less of what else the machine does; with `--threads 1` nothing of them is waiting.
Peak memory is the system's count over the whole life of a process, libraries included; `training` is what of it came
on top of what a process held before its first step: libraries, data and weights.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results") / "tuning.md"
TRAINED = 2  # blocks
LENGTH = 30  # tokens
SHAPES = {"minilm": "MiniLM, 6 blocks", "random": "BERT's shape, {blocks} blocks"}
GOALS = {"minilm": "5", "random": "12"}  # times the naive speed, the latter with 24 blocks
AGREE = 1e-4  # nats
CONTENDERS = ("naive", "plmrs", "plmrs, checkpointing")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, default=Path("benchmark"), help="workspace; default: benchmark")
    parser.add_argument("--only", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--blocks", type=int, default=24, help="of the PLM with random weights")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60, help="of steps, each; two steps are taken in any case")
    parser.add_argument("--steps", type=int, default=10, help="timed steps at most, each")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--bf16", action="store_true", help="also in bfloat16; slow where it is emulated")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--run", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.run is not None:
        task = options.run
        print(json.dumps(prepare(options, **task) if "shape" in task else steps(options, **task)))
        return
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(options.threads)
    parts = []
    for shape in options.only:
        made = run(options, shape=shape)
        exact = run(options, contender="plmrs", precision="32", cache=made["exact"], most=1, **made["of"])
        rows = contenders(options, made)
        losses = exact["loss"], rows["naive"][0]["loss"]
        agree = abs(losses[0] - losses[1]) <= AGREE
        line = f"Loss of the first batch: plmrs {losses[0]:.6f}, naive {losses[1]:.6f}"
        line += f" ({'equal' if agree else 'DIFFERENT'} to {AGREE:g})."
        section = [f"## {SHAPES[shape].format(blocks=options.blocks)}, width {made['width']}", "", *table(rows), ""]
        section += [f"{line} Aim: {GOALS[shape]} × the naive speed, in a fifth of the memory.", ""]
        naive, own = (middle(rows[name])["tokens"] for name in CONTENDERS[:2])
        saved = naive * (made["blocks"] + 2 * TRAINED) / (own * 3 * TRAINED)
        section += [f"Blocks and tokens alone, a backward pass taken as two forward ones, make {saved:.1f} ×.", ""]
        print("\n".join(section), flush=True)
        parts += section
    options.output.write_text(page(options, parts), encoding="utf-8")


def run(options: argparse.Namespace, **task: Any) -> dict[str, Any]:
    """Do a part in a process of its own. This one stays small: a child's peak counts what its parent held."""
    words = [sys.executable, __file__, str(options.folder), "--work", str(options.work), "--run", json.dumps(task)]
    words += ["--blocks", str(options.blocks), "--seconds", str(options.seconds), "--steps", str(options.steps)]
    said = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def contenders(options: argparse.Namespace, made: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What each contender tells, `--repeat` times, in turn."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for _ in range(options.repeat):
        for precision in ("32", "bf16-mixed") if options.bf16 else ("32",):
            for contender in CONTENDERS:
                name = contender if precision == "32" else f"{contender}, bf16"
                cache = None if contender == "naive" else made["cache"]
                told = run(options, contender=contender, precision=precision, cache=cache, **made["of"])
                rows.setdefault(name, []).append(told)
                seconds, cpu = (", ".join(f"{value:.1f}" for value in told[key]) for key in ("seconds", "cpu"))
                print(f"{name:28} steps of {seconds} s, {cpu} s of CPU; loss {told['loss']:.6f}", flush=True)
    return rows


def table(rows: dict[str, list[dict[str, Any]]]) -> list[str]:
    """A row a contender, as a Markdown table."""
    columns = ["", "steps/s", "× naive", "CPU s a step", "× naive", "peak GiB", "of naive", "training GiB", "of naive"]
    columns += ["texts", "tokens"]
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    base = middle(rows["naive"])
    for name, told in rows.items():
        own = middle(told)
        cells = [f"{1 / own['seconds']:.3f}", f"{base['seconds'] / own['seconds']:.1f}"]
        cells += [f"{own['cpu']:.1f}", f"{base['cpu'] / own['cpu']:.1f}"]
        for key in ("peak_bytes", "training_bytes"):
            cells += [f"{own[key] / 2**30:.2f}", f"{own[key] / base[key]:.2f}"]
        cells += [f"{own['texts']:,.0f}", f"{own['tokens']:,.0f}"]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return lines


def middle(told: list[dict[str, Any]]) -> dict[str, float]:
    """Medians over all steps of a contender's processes, and over their peaks."""
    found = {key: statistics.median(value for one in told for value in one[key]) for key in ("seconds", "cpu")}
    for key in ("texts", "tokens"):
        found[key] = statistics.mean(value for one in told for value in one[key])
    for key in ("peak_bytes", "training_bytes"):
        found[key] = statistics.median(one[key] for one in told)
    return found


def page(options: argparse.Namespace, parts: list[str]) -> str:
    """What is written beside the other results."""
    command = f"--repeat {options.repeat} --seconds {options.seconds:g} --threads {options.threads}"
    head = (
        f"`python benchmarks/tuning.py FOLDER {command}{' --bf16' if options.bf16 else ''}` on goodbooks, on an"
        f" {platform.machine()} CPU that other work shared: the ratios count, not the speeds. Batches of 64 windows of"
        " 21 items, loss in_batch, the top 2 blocks train, AdamW, float32 unless a row says otherwise. `texts` and"
        " `tokens` are those of a step, the naive way's with padding. `training` is the peak less what a process held"
        " before its first step."
    )
    return "\n".join(["# Tuning the top 2 blocks", "", head, "", *parts])


def configuration(options: argparse.Namespace, plm: str, cache: str | None, **more: Any) -> Any:
    from plmrs.config import TrainConfig

    values = {"root": options.work / "data", "runs": options.work / "runs", "dataset": "tuning", "plm_name": plm}
    values |= {"accelerator": "cpu", "tokenized_len": LENGTH, "plm_last_n_unfreeze": TRAINED, "loss": "in_batch"}
    values |= {"pre_inference": str(cache is not None), "cache": cache, "batch_size": 64, "sasrec_seq_len": 20}
    return TrainConfig.from_flat({**values, "sasrec_hidden_dropout": 0.0, **more})


def prepare(options: argparse.Namespace, shape: str) -> dict[str, Any]:
    """The data set, the PLM, its caches, and the weights that every contender starts from."""
    import torch

    from plmrs.config import BoundaryOptions, DeviceOptions, PreinferOptions, PrepareConfig
    from plmrs.data.dataset import prepared_names
    from plmrs.model.load import new_recommender
    from plmrs.model.weights import save_weights
    from plmrs.plm.checkpoint import find_plm
    from plmrs.preinfer.command import make_cache
    from plmrs.prepare.command import prepare as prepare_tables
    from plmrs.report import Silent
    from plmrs.train.inputs import training_dataset, training_source

    plm = shape if shape == "minilm" else str(write_plm(options.work / f"bert-{options.blocks}-blocks", options.blocks))
    config = configuration(options, plm, None)
    workspace = config.workspace.open()
    if "tuning" not in prepared_names(workspace):
        tables = {name: options.folder / f"{name}.tsv" for name in ("items", "interactions")}
        values = {**tables, "root": workspace.root, "runs": workspace.runs}
        prepare_tables("tuning", PrepareConfig.from_flat(values), Silent())
    dataset = training_dataset(config, Silent())
    caches = []
    # The first spares the others, which are not made from one another, all but one block.
    for last_n, dtype in ((TRAINED + 1, "float32"), (TRAINED, "float32"), (TRAINED, "float16")):
        compute, boundary = PreinferOptions(dtype=dtype, precision="32"), BoundaryOptions(plm_last_n_unfreeze=last_n)
        cpu = DeviceOptions(accelerator="cpu")
        caches.append(make_cache(workspace, dataset, plm, LENGTH, compute, cpu, Silent(), boundary))
    config = configuration(options, plm, str(caches[1].path))
    torch.manual_seed(0)
    model = new_recommender(config, dataset, training_source(config, dataset, Silent()))
    model.items.fit_whitening()
    weights = options.work / f"{shape}.safetensors"
    own = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("items.plm.")}
    save_weights(own, weights)
    of = {"plm": plm, "weights": str(weights)}
    size = {"blocks": find_plm(plm).n_blocks, "width": find_plm(plm).hidden_size}
    return {"of": of, "exact": str(caches[1].path), "cache": str(caches[2].path), **size}


def write_plm(folder: Path, blocks: int) -> Path:
    """A checkpoint of BERT's shape with random weights, and MiniLM's tokenizer beside it."""
    import shutil

    import torch
    from transformers import BertConfig, BertModel

    from plmrs.plm.checkpoint import TOKENIZER_FILES, find_plm
    from plmrs.plm.quiet import quiet

    if not (folder / "model.safetensors").is_file():
        of = find_plm("minilm").folder
        torch.manual_seed(0)
        config = BertConfig.from_pretrained(of, num_hidden_layers=blocks)
        with quiet():
            BertModel(config, add_pooling_layer=False).save_pretrained(folder)
        for name in TOKENIZER_FILES:
            if (of / name).is_file():
                shutil.copy(of / name, folder / name)
    return folder.absolute()


def steps(
    options: argparse.Namespace,
    contender: str,
    plm: str,
    weights: str,
    precision: str,
    cache: str | None,
    most: int | None = None,
) -> dict[str, Any]:
    """Train some steps: the first loss, the seconds of each further step, what it ran, and the peak memory."""
    import torch
    from psutil import Process
    from safetensors.torch import load_file

    from plmrs.data.splits import split_of
    from plmrs.model.load import new_recommender
    from plmrs.model.source import resolved_loss
    from plmrs.report import Silent
    from plmrs.train.data import epoch_batches, new_sampling
    from plmrs.train.inputs import training_dataset, training_source
    from plmrs.train.optimiser import parameter_groups

    config = configuration(options, plm, cache, gradient_checkpointing="checkpointing" in contender)
    dataset = training_dataset(config, Silent())
    model = new_recommender(config, dataset, training_source(config, dataset, Silent()))
    unknown = model.load_state_dict(load_file(weights), strict=False).unexpected_keys
    assert not unknown, unknown
    inputs, naive = model.items.inputs, contender == "naive"
    if naive:
        model.items.plm = every_slot(model.items.plm)
    model.train()
    loss_options, train = resolved_loss(config), split_of(dataset).train
    sampling = new_sampling(train, dataset.n_items, loss_options, config.trainer, None if naive else inputs)
    optimiser = torch.optim.AdamW(parameter_groups(model, config.optimiser))
    batches = iter(epoch_batches(sampling, config.model, config.trainer, 0))
    told: dict[str, Any] = {"seconds": [], "cpu": [], "texts": [], "tokens": []}
    begun, held = time.perf_counter(), Process().memory_info().rss
    # What Lightning does around a step in this precision.
    arithmetic = torch.autocast("cpu", torch.bfloat16) if precision == "bf16-mixed" else nullcontext()
    for step in range(most or options.steps + 1):
        start, cpu = time.perf_counter(), time.process_time()
        batch = next(batches)
        if naive:
            batch = with_every_slot(model, batch, inputs)
        optimiser.zero_grad()
        with arithmetic:
            loss = model(batch)
        loss.backward()
        optimiser.step()
        if step == 0:
            told["loss"] = loss.item()
            continue
        told["seconds"].append(time.perf_counter() - start)
        told["cpu"].append(time.process_time() - cpu)
        assert batch.texts is not None
        lengths = batch.texts.lengths
        told["texts"].append(len(lengths))
        told["tokens"].append(LENGTH * len(lengths) if naive else int(lengths.sum()))
        if time.perf_counter() - begun > options.seconds:
            break
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {**told, "peak_bytes": peak, "training_bytes": peak - held}


def every_slot(trainable: Any) -> Any:
    """The naive way in the place of plmrs's blocks: Hugging Face's own model over all texts, padded to one length."""
    import torch
    from transformers import AutoModel

    from plmrs.plm.pieces import Piece
    from plmrs.plm.pooling import pool
    from plmrs.plm.quiet import quiet
    from plmrs.plm.trainable import TrainablePlm

    class EverySlot(TrainablePlm):
        """Gives the vectors of the first slot that each item has; the others run, as they do in the original."""

        first_slots: torch.Tensor

        def forward(self, inputs: torch.Tensor, lengths: Any) -> torch.Tensor:
            assert self.trained is not None
            mask = torch.arange(LENGTH) < torch.as_tensor(lengths)[:, None]  # [slots, 30]
            ids = torch.full(mask.shape, self.trained.padding)
            ids[mask] = inputs
            states = self.trained.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
            return pool(states, mask.long())[self.pooling][self.first_slots]

    plm, family = trainable.plm, trainable.family
    with quiet():
        whole = AutoModel.from_pretrained(plm.folder, **dict.fromkeys(family.DROPOUTS, 0.0)).requires_grad_(False)
    whole.get_submodule(family.BLOCKS.rstrip("."))[-TRAINED:].requires_grad_(True)
    return EverySlot(plm, None, Piece(whole, 0, plm.n_blocks, embeddings=True), trainable.pooling, None)


def with_every_slot(model: Any, batch: Any, inputs: Any) -> Any:
    """The batch with the text of each of its slots; a slot of padding borrows that of item 1."""
    import numpy as np
    import torch

    slots = batch.windows.flatten().numpy()
    items, first = np.unique(slots, return_index=True)
    model.items.plm.first_slots = torch.from_numpy(first[items > 0])
    return batch._replace(texts=inputs(np.maximum(slots, 1) - 1))


if __name__ == "__main__":
    main()
