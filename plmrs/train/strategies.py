"""How processes share a training: copies of the model (ddp), or shards of it (FSDP2, DeepSpeed's ZeRO).

A sharding strategy takes the whole recommender as one unit: its weights are gathered when a step begins and let go when
it ends; between steps a process keeps its share of them and of the optimiser's state. Smaller units would save more
memory, but how often a block of the PLM runs in a step depends on how long a process's texts are, and processes that
gather a different number of times wait for each other for ever.
"""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from pytorch_lightning.strategies import Strategy
from torch import nn
from torch.distributed.fsdp import FSDPModule, fully_shard

from plmrs.config import TrainerOptions
from plmrs.devices import Devices
from plmrs.errors import UserError
from plmrs.train.fsdp import Fsdp
from plmrs.train.zero import DeepSpeed

FSDP_ON_CPUS = "2.7"
"""The first PyTorch whose `fully_shard` works on CPUs: before, it asks for events that a CPU's stream had not."""


def shards(strategy: str) -> bool:
    """Whether a `--strategy` gives each process a share of the model only."""
    return strategy.startswith(("fsdp", "deepspeed"))


def check_strategy(options: TrainerOptions, devices: Devices) -> None:
    """Refuse what cannot work before anything long starts.

    Raises:
        UserError: DeepSpeed is missing, or the precision, the devices or PyTorch are not for this strategy.
    """
    name = options.strategy
    if shards(name) and options.precision == "16-mixed":
        raise UserError(
            f"--strategy {name}: float16 needs its gradients scaled, which works with whole weights alone.",
            "Use --precision bf16, or --strategy ddp.",
        )
    if name.startswith("fsdp") and devices.accelerator == "cpu" and torch.__version__ < FSDP_ON_CPUS:
        raise UserError(
            f"--strategy {name}: PyTorch {torch.__version__} shards on GPUs alone.",
            f"Install PyTorch {FSDP_ON_CPUS} or newer, or use --strategy ddp.",
        )
    if not name.startswith("deepspeed"):
        return
    if find_spec("deepspeed") is None:
        install = "Install it: pip install deepspeed." if platform.system() == "Linux" else "It runs on Linux."
        raise UserError(f"--strategy {name}: DeepSpeed is not installed.", f"{install} Or use --strategy fsdp.")
    if devices.accelerator == "gpu" and devices.ids != list(range(len(devices.ids))):
        ids = ",".join(map(str, devices.ids))
        count = " ".join(map(str, range(len(devices.ids))))
        raise UserError(
            f"--strategy {name}: DeepSpeed counts the devices of a process from 0, --devices names {ids}.",
            f"Hide the others: CUDA_VISIBLE_DEVICES={ids} plmrs train … --devices {count}.",
        )


def new_strategy(options: TrainerOptions, devices: Devices, n_nodes: int = 1) -> Strategy | str:
    """What the trainer takes as its strategy, for `n_nodes` machines with the same devices each."""
    name, processes = options.strategy, n_nodes * len(devices.ids)
    if name.startswith("fsdp"):
        return Fsdp(devices.accelerator, processes, offload=name.endswith("offload"))
    if name.startswith("deepspeed"):
        bf16 = options.precision == "bf16-mixed"
        return DeepSpeed(devices.accelerator, int(name.split("_")[2]), name.endswith("offload"), bf16)
    return "ddp" if processes > 1 or name == "ddp" else "auto"


def trainer_precision(options: TrainerOptions) -> Any:
    """What the trainer takes as its precision."""
    # DeepSpeed's own bf16 would keep rounded weights; here it gets the arithmetic of the other strategies.
    return "32-true" if options.precision == "32" or options.strategy.startswith("deepspeed") else options.precision


def shard(model: nn.Module, strategy: Strategy) -> None:
    """Cut a model's weights into shares, where the strategy says so. Called before its optimiser is made."""
    if isinstance(strategy, Fsdp):
        mesh = strategy.device_mesh["data_parallel"]
        fully_shard(model, mesh=mesh, reshard_after_forward=True, offload_policy=strategy.offload)
    elif isinstance(strategy, DeepSpeed):
        from deepspeed.utils import set_z3_leaf_modules

        root = strategy.lightning_module
        set_z3_leaf_modules(root, [type(root)])


@contextmanager
def whole(model: nn.Module) -> Iterator[None]:
    """Gather a model's weights in every process while the block runs, for all that is not a training step."""
    if isinstance(model, FSDPModule):
        model.unshard()
        yield
        model.reshard()
    elif any(hasattr(parameter, "ds_id") for parameter in model.parameters()):
        from deepspeed.runtime.zero import GatheredParameters

        with GatheredParameters(list(model.parameters())):
            yield
    else:
        yield
