"""FSDP2, as Lightning takes it."""

from typing import Any, Literal

from pytorch_lightning.strategies import ModelParallelStrategy
from torch.distributed.fsdp import CPUOffloadPolicy, OffloadPolicy


class Fsdp(ModelParallelStrategy):
    """FSDP2 over all processes; a checkpoint is one file as any other, gathered in the first process."""

    def __init__(self, accelerator: Literal["cpu", "gpu"], processes: int, offload: bool) -> None:
        # What is offloaded is reduced on the CPU, where NCCL does not reach.
        backend = "cpu:gloo,cuda:nccl" if offload and accelerator == "gpu" else None
        super().__init__(processes, 1, save_distributed_checkpoint=False, process_group_backend=backend)
        self.offload = CPUOffloadPolicy(pin_memory=accelerator == "gpu") if offload else OffloadPolicy()

    def model_to_device(self) -> None:
        """Move what is not sharded; offloaded shards stay where they are."""
        assert self.model is not None
        for module in self.model.modules():
            for name, buffer in module.named_buffers(recurse=False):
                setattr(module, name, buffer.to(self.root_device))

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Load a checkpoint, module by module."""
        state: dict[str, Any] = super().load_checkpoint(checkpoint_path, weights_only)
        # What a module does once all below it is loaded, such as whitening its constants, it does now.
        assert self.model is not None
        self.model.load_state_dict({}, strict=False)
        return state
