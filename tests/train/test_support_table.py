"""Every way to use a PLM trains: the loss falls, what should move does, and what is saved scores alike."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from tiny import TINY

from plmrs.config import TrainConfig
from plmrs.config.training import NEGATIVES, Loss
from plmrs.data.dataset import Dataset, Histories
from plmrs.data.negatives import sampling_log_q
from plmrs.data.splits import split_of, training_counts
from plmrs.errors import UserError
from plmrs.model.load import load_run, new_recommender
from plmrs.model.run import open_run
from plmrs.model.source import resolved_loss
from plmrs.plm.checkpoint import FAMILIES, family
from plmrs.report import Silent
from plmrs.train.command import train
from plmrs.train.data import epoch_batches, new_sampling
from plmrs.train.inputs import training_source
from plmrs.workspace import Workspace

OPTIONS = {
    **TINY,
    "input_type": "text",
    "sasrec_hidden_dropout": 0.0,
    "max_epochs": 3,
    "batch_size": 16,
    "lr": 3e-3,
    "plm_lr": 1e-3,
    "whitening": 8,
    "pre_seq_len": 3,
    "prompt_hidden_size": 8,
}
DECODERS = ("opt-post-norm", *(name for name in FAMILIES if family(name).DECODER))
ENCODERS = [name for name in FAMILIES if not family(name).DECODER]


@pytest.fixture
def configured(small_workspace: Workspace, small_dataset: Dataset, make_plm, tmp_path: Path):
    made = {}

    def make(family: str = "bert", **options) -> TrainConfig:
        if family not in made:
            post_norm = {"do_layer_norm_before": False, "word_embed_proj_dim": 16}
            made[family] = str(make_plm(family.removesuffix("-post-norm"), **post_norm if "post" in family else {}))
        places = {"root": small_workspace.root, "runs": tmp_path / "runs", "plm_name": made[family]}
        return TrainConfig.from_flat({**OPTIONS, **places, **options}, dict.fromkeys(options, "flag"))

    return make


def trained(config: TrainConfig, dataset: Dataset) -> None:
    """Train, and compare what moved with what the options say."""
    train(config, Silent())
    workspace = config.workspace.open()
    run = open_run(workspace)
    rows = (run.folder / "metrics.csv").read_text().splitlines()
    losses = [float(row.split(",")[rows[0].split(",").index("loss")]) for row in rows[1:]]
    assert losses[-1] < losses[0]
    model, _, _ = load_run(workspace, run)
    source = training_source(config, dataset, Silent())
    before = new_recommender(config, dataset, source)
    last_n = config.boundary.plm_last_n_unfreeze
    if before.items.plm is not None:
        start = dict(before.items.plm.named_parameters())
        for name, tensor in model.items.plm.named_parameters():
            block = before.items.plm.layer_of(name)
            if block is None:
                continue
            n_blocks = before.items.plm.plm.n_blocks
            moves = last_n == -1 or (name.startswith("trained") and block >= n_blocks - last_n)
            assert tensor.requires_grad == moves or "relative_attention_bias" in name
            assert torch.equal(tensor, start[name]) != moves or "word" in name or "embed" in name or "bias" in name
    again, _, _ = load_run(workspace, run)
    users = Histories(np.array([1, 2, 3], np.int32), np.array([0]), np.array([3]))
    scores = next(model.scores(users, 1))
    assert torch.equal(scores, next(again.scores(users, 1)))
    assert torch.isfinite(scores).all()


@pytest.mark.parametrize("pre_inference", ["auto", "false"])
@pytest.mark.parametrize("last_n", [0, 1, 2, -1])
@pytest.mark.parametrize("prompt", [False, True])
def test_each_cell_of_the_table_trains(configured, small_dataset, last_n, prompt, pre_inference):
    config = configured(
        plm_last_n_unfreeze=last_n, use_prompt=prompt, pre_inference=pre_inference, input_type="text+id"
    )
    trained(config, small_dataset)


@pytest.mark.parametrize("family", [*DECODERS, *ENCODERS])
def test_each_family_trains_its_top_block(configured, small_dataset, family):
    trained(configured(family, plm_last_n_unfreeze=1), small_dataset)


@pytest.mark.parametrize("family", DECODERS)
@pytest.mark.parametrize("pooling", ["last", "mean_last"])
def test_a_decoder_has_a_last_query(configured, small_dataset, family, pooling):
    prompt = {"use_prompt": True, "post_seq_len": 2, "prompt_projection": pooling == "last"}
    trained(configured(family, plm_last_n_unfreeze=1, pooling_method=pooling, **prompt), small_dataset)


@pytest.mark.parametrize("loss", get_args(Loss))
@pytest.mark.parametrize("last_n", [0, 1])
def test_each_loss_trains_with_and_without_blocks(configured, small_dataset, loss, last_n):
    negatives = {"negatives": 5} if loss in NEGATIVES else {}
    trained(configured(loss=loss, plm_last_n_unfreeze=last_n, **negatives), small_dataset)


@pytest.mark.parametrize("pooling", ["mean", "last", "mean_last", "cls"])
@pytest.mark.parametrize("last_n", [0, 1])
def test_each_pooling_trains(configured, small_dataset, pooling, last_n):
    trained(configured(pooling_method=pooling, plm_last_n_unfreeze=last_n), small_dataset)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"input_type": "id", "use_prompt": True}, "--use-prompt: a model of --input-type id reads no PLM"),
        ({"input_type": "id", "plm_last_n_unfreeze": 1}, "--plm-last-n-unfreeze 1: a model of --input-type id"),
        ({"plm_last_n_unfreeze": -1, "pre_inference": True}, "all of the PLM trains"),
        ({"use_prompt": True, "pre_inference": True}, "the prompt acts in all blocks"),
        ({"plm_last_n_unfreeze": 9}, "has 2 blocks"),
        ({"gradient_checkpointing": True}, "no block of the PLM trains"),
        ({"use_prompt": True, "last_query_len": 1}, "is an encoder"),
        ({"loss": "ce", "negatives": 3}, "the loss ce draws none"),
        ({"loss": "bce", "gather_negatives": True}, "has no candidates of a batch"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_reason(configured, options, said, tmp_path):
    with pytest.raises(UserError, match=said):
        train(configured(**options), Silent())
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").glob("*/manifest.json"))


def test_a_cached_boundary_and_live_frozen_blocks_give_the_same_curve(configured, tmp_path):
    curves = []
    for name, pre_inference in (("cached", "auto"), ("live", "false")):
        options = {"plm_last_n_unfreeze": 1, "pre_inference": pre_inference, "name": name}
        config = configured(**options)
        if name == "cached":  # float16 in the cache would differ by its rounding
            from plmrs.config import BoundaryOptions, DeviceOptions, PreinferOptions
            from plmrs.data.dataset import open_dataset
            from plmrs.preinfer.command import make_cache

            workspace = config.workspace.open()
            cache = make_cache(
                workspace, open_dataset(workspace, "small"), config.plm.plm_name, 30,
                PreinferOptions(dtype="float32", precision="32"), DeviceOptions(accelerator="cpu"), Silent(),
                BoundaryOptions(plm_last_n_unfreeze=1),
            )  # fmt: skip
            config = configured(**options, cache=str(cache.path))
        train(config, Silent())
        rows = (tmp_path / "runs" / name / "metrics.csv").read_text().splitlines()
        curves.append([float(row.split(",")[rows[0].split(",").index("loss")]) for row in rows[1:]])
    assert curves[0] == pytest.approx(curves[1], rel=1e-5)


@pytest.mark.parametrize("gathered", [False, True])
def test_logits_are_corrected_for_the_negatives_of_all_processes(configured, small_dataset, gathered):
    """However they were started: two machines with two devices each are four."""
    config = configured(input_type="id", loss="sampled", negatives=50, gather_negatives=gathered, devices="0 1")
    counts = training_counts(split_of(small_dataset).train, small_dataset.n_items)
    expected = sampling_log_q(counts, 200 if gathered else 50, "train")
    found = new_recommender(config, small_dataset, None, processes=4).log_q
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_unique_items_and_every_position_give_the_same_gradients(configured, small_dataset):
    """The naive way runs the PLM over each of the B · L slots; the model runs it over the items that differ."""
    config = configured(plm_last_n_unfreeze=1, loss="in_batch")
    split = split_of(small_dataset)
    torch.manual_seed(0)
    model = new_recommender(config, small_dataset, training_source(config, small_dataset, Silent()))
    model.items.fit_whitening()
    sampling = new_sampling(
        split.train, small_dataset.n_items, resolved_loss(config), config.trainer, model.items.inputs
    )
    batch = next(iter(epoch_batches(sampling, config.model, config.trainer, 0)))
    model(batch).backward()
    ours = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()

    slots = batch.windows.clamp(min=1)
    texts = sampling.inputs(slots.flatten().numpy() - 1)
    vectors = model.items(slots.flatten() - 1, texts).view(*slots.shape, -1)  # [B, L + 1, H]
    queries = model.queries(model.sasrec(vectors[:, :-1]))
    shares = torch.bincount(torch.from_numpy(split.train.items[split.train.flat()[1]]).long())
    total, n = 0.0, 0
    for b, t in (batch.windows[:, 1:] > 0).nonzero().tolist():
        logits, seen, place = [], set(), -1
        target = int(batch.windows[b, t + 1])
        for other, column in (batch.windows > 0).nonzero().tolist():
            item = int(batch.windows[other, column])
            if item in seen or (item != target and item in batch.windows[b].tolist()):
                continue
            seen.add(item)
            score = queries[b, t] @ model.candidates(vectors[other, column])
            logits.append(score - (shares[item] / shares.sum()).log())
            if item == target:
                place = len(logits) - 1
        total, n = total + torch.nn.functional.cross_entropy(torch.stack(logits)[None], torch.tensor([place])), n + 1
    (total / n).backward()
    for name, p in model.named_parameters():
        if p.grad is not None:
            # Gradients go up to 5; those of key biases are 0, but for the rounding of what they are summed from.
            torch.testing.assert_close(ours[name], p.grad, rtol=1e-5, atol=2e-5, msg=name)
