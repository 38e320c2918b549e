import math

import pytest
import torch

from plmrs.config import LossOptions, ModelOptions, OptimiserOptions
from plmrs.model.inputs import Texts
from plmrs.model.recommender import Recommender
from plmrs.plm.checkpoint import FAMILIES, find_plm
from plmrs.plm.trainable import load_trainable
from plmrs.train.optimiser import parameter_groups, schedule

OPTIONS = OptimiserOptions(lr=1e-2, projection_lr=2e-2, plm_lr=1e-3, plm_lr_layer_decay=0.5, weight_decay=0.3)


def no_texts(rows) -> Texts:
    raise AssertionError("nothing is computed here")


def settings(make_plm, family: str, trained: int, **sizes) -> dict[str, tuple[float, float]]:
    """Rate and decay of each parameter that trains, by name."""
    plm = find_plm(str(make_plm(family, **sizes)))
    live = load_trainable(plm, None, trained, "mean")
    options = ModelOptions(input_type="text+id", whitening=4, sasrec_hidden_size=8)
    model = Recommender(options, torch.ones(5).long(), plm=live, inputs=no_texts, loss=LossOptions(loss="in_batch"))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {}
    for group in parameter_groups(model, OPTIONS):
        for parameter in group["params"]:
            found[names[id(parameter)]] = (group["lr"], group["weight_decay"])
    assert found.keys() == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_no_norm_no_bias_and_no_table_of_positions_decays(make_plm, family):
    found = settings(make_plm, family, -1)
    decayed = {name for name, (_, decay) in found.items() if decay}
    undecayed = found.keys() - decayed
    assert {found[name][1] for name in decayed} == {0.3}
    for part in ("norm", "bias", "positions", "embed_positions", "position_embeddings", "log_scale"):
        assert not any(part in name.lower() for name in decayed), part
    assert any("norm" in name.lower() for name in undecayed)
    assert {"sasrec.blocks.0.qkv.weight", "items.table.weight"} <= decayed
    whole = load_trainable(find_plm(str(make_plm(family))), None, -1, "mean")
    # Tables of positions have 64 rows, OPT's and RoBERTa's two more.
    tables = [name for name, part in whole.named_modules() if getattr(part, "num_embeddings", 0) in (64, 66)]
    tables += [name for name, _ in whole.named_modules() if name.endswith("relative_attention_bias")]
    for name, parameter in whole.named_parameters():
        kept = parameter.ndim < 2 or name.removesuffix(".weight") in tables
        assert kept == (f"items.plm.{name}" in undecayed), name


def test_rates_fall_from_the_top_block_down(make_plm):
    found = settings(make_plm, "bert", -1, num_hidden_layers=3)
    rates = {name.removeprefix("items.plm.trained.model."): rate for name, (rate, _) in found.items()}
    assert rates["encoder.layer.2.output.dense.weight"] == 1e-3
    assert rates["encoder.layer.1.output.dense.weight"] == 5e-4
    assert rates["encoder.layer.0.output.dense.weight"] == 2.5e-4
    assert rates["embeddings.word_embeddings.weight"] == 2.5e-4  # block 0's
    assert rates["items.projection.0.weight"] == 2e-2
    assert rates["items.table.weight"] == rates["sasrec.positions.weight"] == rates["log_scale"] == 1e-2


def test_the_final_norm_has_the_top_blocks_rate_and_blocks_are_counted_in_the_whole_plm(make_plm):
    found = settings(make_plm, "opt", 2, num_hidden_layers=4)
    rates = {name.removeprefix("items.plm.trained.model.decoder."): rate for name, (rate, _) in found.items()}
    assert rates["final_layer_norm.weight"] == 1e-3
    assert rates["layers.1.fc1.weight"] == 1e-3  # the fourth block
    assert rates["layers.0.fc1.weight"] == 5e-4  # the third


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("constant", [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
        ("linear", [0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0.25, 0.5, 0.75, 1, 1, *((1 + math.cos(math.pi * part)) / 2 for part in (0.25, 0.5, 0.75))]),
    ],
)
def test_rates_rise_and_then_fall_to_nothing(kind, expected):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=2.0)
    steps = schedule(optimiser, OptimiserOptions(lr_schedule=kind, warmup_steps=4), 8)
    rates = []
    for _ in range(8):
        rates.append(optimiser.param_groups[0]["lr"] / 2)
        optimiser.step()
        steps.step()
    assert rates == pytest.approx(expected)
    assert kind == "constant" or optimiser.param_groups[0]["lr"] == pytest.approx(0)
