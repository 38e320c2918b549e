"""The recommender as a LightningModule: one training step, validation by full ranking, AdamW."""

import math

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from plmrs.config import TrainConfig
from plmrs.data.splits import Split
from plmrs.errors import UserError
from plmrs.model.ranking import mask_seen, metrics, target_ranks
from plmrs.model.recommender import Recommender
from plmrs.train.data import Batches, epoch_batches, user_chunks

MONITOR = "NDCG@10"
USERS_AT_ONCE = 256


class TrainingModule(pl.LightningModule):
    """Trains a recommender on the training histories of a split and ranks its validation targets.

    Logged: `loss` (mean over the epoch's positions, nats); at each k of `topk_list` and 10 `HR@k`, `NDCG@k`, `MRR@k`.
    """

    def __init__(self, recommender: Recommender, split: Split, config: TrainConfig) -> None:
        super().__init__()
        self.recommender = recommender
        self.split = split
        self.config = config
        self.topk = sorted({*config.protocol.topk_list, 10})

    def train_dataloader(self) -> Batches:
        """The next epoch's batches; the trainer asks anew each epoch."""
        model, trainer = self.config.model, self.config.trainer
        return epoch_batches(
            self.split.train, model, trainer, self.current_epoch, self.global_rank, self.trainer.world_size
        )

    def targets_an_epoch(self) -> int:
        """Positions with a next item that this process reads in an epoch."""
        lengths = self.split.train.lengths
        if self.config.trainer.windows == "last":
            lengths = np.minimum(lengths, self.config.model.sasrec_seq_len + 1)
        return int(np.maximum(lengths - 1, 0).sum()) // self.trainer.world_size

    def val_dataloader(self) -> DataLoader[slice]:
        """This process's validation users, in chunks."""
        chunks = user_chunks(len(self.split.val), USERS_AT_ONCE, self.global_rank, self.trainer.world_size)
        return DataLoader(chunks, batch_size=None)  # type: ignore[arg-type]

    def on_train_epoch_start(self) -> None:
        """Seed the epoch's dropout, so that a resumed run draws what a straight one does."""
        torch.manual_seed((self.config.trainer.seed * 1_000_003 + self.current_epoch) * 1_009 + self.global_rank)
        self.targets = torch.zeros((), dtype=torch.float64, device=self.device)
        self.total_loss = torch.zeros((), dtype=torch.float64, device=self.device)

    def training_step(self, windows: Tensor, batch_index: int) -> Tensor:
        """The loss of a batch of windows. [B, L + 1] -> []"""
        loss = self.recommender.loss(windows)
        positions = (windows[:, 1:] > 0).sum()
        self.targets += positions
        self.total_loss += loss.detach() * positions
        # Processes' gradients are averaged as if each had the same number of targets; this makes it so.
        return loss * (positions * self.trainer.world_size / self._sum(positions.clone()))

    def on_validation_epoch_start(self) -> None:
        """Start from no ranks, and compute the item vectors once."""
        self.ranks: list[Tensor] = []
        self.vectors = self.recommender.items()
        self.candidates = self.recommender.candidates(self.vectors)

    def validation_step(self, users: slice, batch_index: int) -> None:
        """Rank the validation targets of some users among all items."""
        val = self.split.val.take(users)
        target = torch.from_numpy(val.targets.astype("int64") - 1).to(self.device)
        scores = self.recommender.last_queries(val.inputs, self.vectors) @ self.candidates.T
        if self.config.protocol.mask_seen:
            mask_seen(scores, val.inputs, target)
        self.ranks.append(target_ranks(scores, target))

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
        del self.ranks, self.vectors, self.candidates

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; biases, norms, positions and the temperature get no weight decay."""
        options = self.config.optimiser
        decayed = {
            id(module.weight)
            for name, module in self.named_modules()
            if isinstance(module, nn.Linear | nn.Embedding) and not name.endswith("positions")
        }
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            rate = (options.projection_lr or options.lr) if ".projection." in name else options.lr
            decay = options.weight_decay if id(parameter) in decayed else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
        return torch.optim.AdamW(
            [{"params": members, "lr": rate, "weight_decay": decay} for (rate, decay), members in groups.items()]
        )

    def _epoch_loss(self) -> float:
        total, targets = self._sum(torch.stack([self.total_loss, self.targets])).tolist()
        if not math.isfinite(total):
            raise UserError(
                f"The loss is {total} in epoch {self.current_epoch + 1}.",
                f"Lower --lr (now {self.config.optimiser.lr:g}) or use --precision 32.",
            )
        return float(total / targets)

    def _sum(self, values: Tensor) -> Tensor:
        """Sum over processes."""
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(values)
        return values


def trainable(recommender: Recommender) -> dict[str, int]:
    """Trained parameters by part: item table, projection, SASRec, temperature."""
    names = {
        "items.table": "item table",
        "items.projection": "projection",
        "sasrec": "SASRec",
        "log_scale": "temperature",
    }
    counts = dict.fromkeys(names.values(), 0)
    for name, parameter in recommender.named_parameters():
        counts[next(part for prefix, part in names.items() if name.startswith(prefix))] += parameter.numel()
    return {part: count for part, count in counts.items() if count}
