"""The recommender as a LightningModule: one training step, validation by full ranking, AdamW."""

import math
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from plmrs.config import TrainConfig
from plmrs.data.splits import Split
from plmrs.model.batch import Batch
from plmrs.model.metrics import metrics
from plmrs.model.ranking import USERS, Products, new_buffer, rank_block
from plmrs.model.recommender import Recommender
from plmrs.model.weights import trained_state
from plmrs.train.data import Batches, Sampling, epoch_batches, user_chunks
from plmrs.train.diagnosis import not_finite
from plmrs.train.optimiser import parameter_groups, schedule
from plmrs.train.strategies import shard, whole
from plmrs.train.vectors import all_vectors

MONITOR = "NDCG@10"
SCORE_BYTES = 128 * 2**20
"""What validation scores at once may take."""


class TrainingModule(pl.LightningModule):
    """Trains a recommender on the training histories of a split and ranks its validation targets.

    Logged: `loss` (mean over the epoch's positions, nats); at each k of `topk_list` and 10 `HR@k`, `NDCG@k`, `MRR@k`.
    """

    def __init__(self, recommender: Recommender, split: Split, sampling: Sampling, config: TrainConfig) -> None:
        super().__init__()
        # A checkpoint leaves out what the PLM's own files hold.
        self.strict_loading = False
        self.recommender = recommender
        self.sampling = sampling
        self.split = split
        self.config = config
        self.topk = sorted({*config.protocol.topk_list, 10})
        self.begun: dict[str, float] | None = None

    def train_dataloader(self) -> Batches:
        """The next epoch's batches, or those that are left of it; the trainer asks anew each epoch."""
        batches = epoch_batches(
            self.sampling,
            self.config.model,
            self.config.trainer,
            self.current_epoch,
            self.global_rank,
            self.trainer.world_size,
            self.config.optimiser.accumulate,
        )
        if self.begun is not None and self.begun["epoch"] == self.current_epoch:
            return replace(batches, first=int(self.begun["steps"]))
        return batches

    def val_dataloader(self) -> DataLoader[slice]:
        """This process's validation users, in chunks."""
        chunks = user_chunks(len(self.split.val), USERS, self.global_rank, self.trainer.world_size)
        return DataLoader(chunks, batch_size=None)  # type: ignore[arg-type]

    def configure_model(self) -> None:
        """Leave this process its share of the weights, where the strategy shards them."""
        shard(self.recommender, self.trainer.strategy)

    def on_train_start(self) -> None:
        """Go on with the sums of an epoch that was begun before; the trainer does not start such an epoch anew."""
        if isinstance(self.trainer.model, DistributedDataParallel):
            # Else each step would send all items' vectors to every process, which are the same from the start on.
            self.trainer.model.broadcast_buffers = False
        begun = self.begun if self.begun is not None and self.global_rank == 0 else {"targets": 0, "loss": 0}
        self.targets = torch.tensor(begun["targets"], dtype=torch.float64, device=self.device)
        self.total_loss = torch.tensor(begun["loss"], dtype=torch.float64, device=self.device)

    def on_train_epoch_start(self) -> None:
        """Start the epoch's sums."""
        self.begun = None
        self.targets = torch.zeros((), dtype=torch.float64, device=self.device)
        self.total_loss = torch.zeros((), dtype=torch.float64, device=self.device)

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        """Seed the step's dropout, so that a run that goes on draws what a straight one does."""
        place = [self.config.trainer.seed, self.current_epoch, batch_index, self.global_rank]
        seed = int(np.random.SeedSequence(place).generate_state(1)[0])
        # Not torch.manual_seed: that asks every kind of device, which takes longer than a small step can spare.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The loss of a batch. []"""
        loss: Tensor = self.recommender(batch)
        self.step_loss = loss.detach()
        positions = (batch.windows[:, 1:] > 0).sum()
        self.targets += positions
        self.total_loss += loss.detach() * positions
        assert batch.step_targets is not None
        # The gradients of a step's batches, in all processes, are averaged as if each had the same number of targets,
        # and as if the last step of an epoch had as many batches as any other; this makes it so.
        averaged = self.trainer.world_size * self.config.optimiser.accumulate
        return loss * (positions * averaged / self._sum(batch.step_targets.clone()))

    def on_validation_epoch_start(self) -> None:
        """Start from no ranks, and compute the item vectors once."""
        self.ranks: list[Tensor] = []
        self.gathered = ExitStack()
        self.gathered.enter_context(whole(self.recommender))
        self.vectors = all_vectors(self.recommender.items, self.global_rank, self.trainer.world_size)
        self.candidates = self.recommender.candidates(self.vectors).float()
        self.buffer = new_buffer(len(self.candidates), SCORE_BYTES, self.device)

    def validation_step(self, users: slice, batch_index: int) -> None:
        """Rank the validation targets of some users among all items."""
        val = self.split.val.take(users)
        queries = self.recommender.last_queries(val.inputs, self.vectors)
        # Scores are float32 also where training is not: rounded ones of a large catalogue would tie.
        scores = Products(queries.float(), self.candidates)
        ranks, _ = rank_block(scores, val, len(self.candidates), self.buffer, self.config.protocol.mask_seen)
        self.ranks.append(ranks)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics over the users of all processes, and the mean loss of the epoch before.

        Raises:
            UserError: the loss is not a number.
        """
        ranks = torch.cat(self.ranks).cpu().numpy()
        found = metrics(ranks, self.topk)
        sums = torch.tensor([value * len(ranks) for value in found.values()] + [len(ranks)], dtype=torch.float64)
        totals = self._sum(sums.to(self.device))
        self.log_dict(dict(zip(found, (totals[:-1] / totals[-1]).tolist(), strict=True)))
        self.log("loss", self._epoch_loss())
        del self.ranks, self.vectors, self.candidates, self.buffer
        self.gathered.close()

    def configure_optimizers(self) -> Any:
        """AdamW over what trains, with its schedule."""
        options = self.config.optimiser
        optimiser = torch.optim.AdamW(parameter_groups(self.recommender, options))
        # Not the trainer's estimate: for that it makes an epoch's batches and keeps them, though under a sharding
        # strategy the checkpoint has not told yet how many of them are done.
        steps = math.ceil(len(self.train_dataloader()) / options.accumulate) * self.config.trainer.max_epochs
        rates = schedule(optimiser, options, steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": rates, "interval": "step"}}

    def note_begun(self, steps: int) -> None:
        """Have the next checkpoint say that so many batches of the epoch are done; every process calls it."""
        loss, targets = self._sum(torch.stack([self.total_loss, self.targets])).tolist()
        self.begun = {"epoch": self.current_epoch, "steps": steps, "loss": loss, "targets": targets}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on within an epoch, if the checkpoint was written there."""
        self.begun = checkpoint.get("begun")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what trains, and leave out the frozen PLM."""
        checkpoint["begun"] = self.begun
        kept = trained_state(self.recommender)
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {
            name: tensor for name, tensor in state.items() if name.removeprefix("recommender.") in kept
        }

    def _epoch_loss(self) -> float:
        total, targets = self._sum(torch.stack([self.total_loss, self.targets])).tolist()
        if not math.isfinite(total):
            raise not_finite(self)
        return float(total / targets)

    def _sum(self, values: Tensor) -> Tensor:
        """Sum over processes."""
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(values)
        return values
