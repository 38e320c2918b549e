"""DeepSpeed's ZeRO, as Lightning takes it."""

import argparse
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning.strategies import DDPStrategy, DeepSpeedStrategy
from torch import Tensor, nn

from plmrs.errors import UserError
from plmrs.model.run import WEIGHTS
from plmrs.model.weights import save_weights
from plmrs.plm.unpickled import unpickled
from plmrs.train.resumable import AGAIN, check_paths
from plmrs.workspace import PARTIAL, atomic_folder


@contextmanager
def _nothing_but_tensors(files: Any) -> Iterator[None]:
    """Have DeepSpeed, which unpickles whatever a file holds, read tensors and its own settings alone."""
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    def load(path: str, map_location: Any = None) -> Any:
        with torch.serialization.safe_globals([LossScaler, ZeroStageEnum, fragment_address]):
            return unpickled(Path(path), AGAIN, mapped=False)

    files.load = load
    try:
        yield
    finally:
        del files.load


class DeepSpeed(DeepSpeedStrategy):
    """ZeRO stage 2 or 3, on the CPU as well.

    A checkpoint to go on from is a folder with each process's share, and the whole weights beside them; a checkpoint of
    weights alone is a file as any other.
    """

    def __init__(self, accelerator: Literal["cpu", "gpu"], stage: int, offload: bool, bf16: bool) -> None:
        if accelerator == "cpu":
            os.environ["DS_ACCELERATOR"] = "cpu"  # read when DeepSpeed is imported
            import deepspeed

            # An extension that would be compiled at the first use, to save some copies between processes.
            deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        super().__init__(
            stage=stage,
            offload_optimizer=offload,
            offload_parameters=offload and stage == 3,
            exclude_frozen_parameters=True,
        )
        assert isinstance(self.config, dict)
        # PyTorch's AdamW steps on the CPU as well; DeepSpeed's would have to be compiled.
        self.config["zero_force_ds_cpu_optimizer"] = False
        kind = "cpu" if accelerator == "cpu" else "cuda"
        self.arithmetic = partial(torch.autocast, kind, torch.bfloat16, enabled=bf16)

    @property
    def handles_gradient_accumulation(self) -> bool:
        """No: it would not end a step early with the last batch of an epoch."""
        return False

    @contextmanager
    def block_backward_sync(self) -> Iterator[None]:
        """Do nothing: the engine is told in `training_step` which batches do not end a step."""
        yield

    def setup_environment(self) -> None:
        """Join the processes; without the parent's check that they have GPUs."""
        DDPStrategy.setup_environment(self)

    def setup_distributed(self) -> None:
        """Likewise."""
        self.set_world_ranks()
        self._init_deepspeed_distributed()

    def _format_batch_size_and_grad_accum_config(self) -> None:
        assert isinstance(self.config, dict)
        assert self.lightning_module is not None
        clip = self.lightning_module.trainer.gradient_clip_val or 0.0
        sizes = {"train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 1}
        self.config.update(sizes, gradient_clipping=float(clip))

    def _setup_model_and_optimizer(self, model: nn.Module, optimizer: Any, lr_scheduler: Any = None) -> tuple[Any, Any]:
        import deepspeed

        engine, wrapped, _, _ = deepspeed.initialize(
            args=argparse.Namespace(device_rank=self.local_rank),
            config=self.config,
            model=model,
            model_parameters=[parameter for parameter in model.parameters() if parameter.requires_grad],
            optimizer=optimizer,
            lr_scheduler=lr_scheduler,
            dist_init_required=False,
        )
        return engine, wrapped

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """The loss of a batch, through the engine."""
        module, (batch, index) = self.lightning_module, args
        assert module is not None
        trainer = module.trainer
        last = (index + 1) % trainer.accumulate_grad_batches == 0 or index + 1 == trainer.num_training_batches
        self.deepspeed_engine.set_gradient_accumulation_boundary(last)

        def anchored(anchor: Tensor, *step: Any) -> Tensor:
            with self.arithmetic():
                loss: Tensor = module.training_step(*step)  # type: ignore[assignment]
                return loss + 0 * anchor

        # Stage 3 reduces the gradients of a unit when that of its first input is known. Autograd takes the oldest node
        # last, so the gradient of an input that is there for this alone comes behind all others.
        module.__dict__["anchored_step"] = anchored
        anchor = torch.zeros((), device=self.root_device, requires_grad=True)
        return self._forward_redirection(self.deepspeed_engine, module, "anchored_step", anchor, batch, index)

    def validation_step(self, *args: Any, **kwargs: Any) -> Any:
        """Past the engine: the weights are gathered already."""
        assert self.lightning_module is not None
        with self.arithmetic():
            return self.lightning_module.validation_step(*args, **kwargs)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The whole weights, in the first process."""
        from deepspeed.runtime.zero import GatheredParameters

        assert self.lightning_module is not None
        state: dict[str, Tensor] = {}
        for name, tensor in self.lightning_module.state_dict(keep_vars=True).items():
            # One by one: the device never has to hold them all.
            with GatheredParameters([tensor], enabled=hasattr(tensor, "ds_id")):
                if self.is_global_zero:
                    state[name] = tensor.detach().cpu().clone()
        return state

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """Nothing: the engine saves its own."""
        return {}

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Load a folder to go on from.

        Raises:
            UserError: another number of processes wrote it.
        """
        n = len(list(Path(checkpoint_path).glob("*/*_optim_states.pt")))
        if n != self.world_size:
            raise UserError(
                f"{checkpoint_path} holds the shares of {n} processes, and here are {self.world_size}.",
                "Give as many --devices as the run was begun with.",
            )
        try:
            with _nothing_but_tensors(self.deepspeed_engine.checkpoint_engine):
                state: dict[str, Any] = super().load_checkpoint(checkpoint_path, weights_only)
        except (LookupError, TypeError, ValueError, AttributeError, AssertionError, RuntimeError, OSError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(f"{checkpoint_path} is no checkpoint of this model: {reason}", AGAIN) from error
        check_paths(Path(checkpoint_path), state.get("callbacks"))
        return state

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        """Write a folder to go on from, or a file of weights alone."""
        path = Path(self.broadcast(filepath))
        if "optimizer_states" not in checkpoint:
            if self.is_global_zero:
                self.checkpoint_io.save_checkpoint(checkpoint, path)
            return
        # Every process writes its share, so the folder is renamed when the last one has.
        ready = path.with_name(f"shares{PARTIAL}{path.name}")
        if self.is_global_zero:
            shutil.rmtree(ready, ignore_errors=True)
        self.barrier()
        super().save_checkpoint(checkpoint, ready, storage_options)
        self.barrier()
        if self.is_global_zero:
            state = {name.removeprefix("recommender."): tensor for name, tensor in checkpoint["state_dict"].items()}
            save_weights(state, ready / WEIGHTS)
            with atomic_folder(path) as folder:
                folder.rmdir()
                ready.rename(folder)
        self.barrier()
