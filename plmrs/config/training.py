"""The recommender and its training."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from plmrs.config.kinds import FolderName, Ids, Positive, Share
from plmrs.section import Section, option

Loss = Literal["ce", "in_batch", "bce", "gbce", "bpr_max", "sampled"]
NEGATIVES = {"bce": 1, "gbce": 256, "bpr_max": 256, "sampled": 1024}
"""The losses that draw items by chance, and how many by default: a position, or a batch of `sampled`."""
OF_ONE_LOSS = {"gbce_t": "gbce", "bpr_penalty": "bpr_max"}
"""Options that say something of one loss alone."""


class ModelOptions(Section):
    """The recommender: SASRec over item vectors."""

    panel = "Model"
    input_type: Literal["text", "id", "text+id"] = option("text", "Item vectors: from the PLM, learned, or both.")
    sasrec_seq_len: Positive = option(20, "Items SASRec sees.")
    sasrec_hidden_size: Positive = option(64, "Width of states and item vectors.")
    sasrec_inner_size: Positive = option(256, "Width inside the feed-forward layers.")
    sasrec_n_layers: Positive = option(2, "Blocks.")
    sasrec_n_heads: Positive = option(2, "Attention heads; they divide the width.")
    sasrec_hidden_dropout: Share = option(0.2, "Dropout on inputs and block outputs.")
    sasrec_attention_dropout: Share = option(0.0, "Dropout on attention weights.")
    sasrec_layer_norm_eps: Annotated[float, Field(gt=0)] = option(1e-6, "Epsilon of the layer norms.")
    initializer_range: Annotated[float, Field(gt=0)] = option(0.02, "Standard deviation of initial weights.")
    similarity: Literal["cosine", "dot"] = option("cosine", "Score of an item; cosine learns a temperature.")
    whitening: Literal["none"] | Positive = option(
        512, "Dimensions at most that PLM vectors are whitened to, fitted on training items; none leaves them."
    )
    pca: bool = option(False, "Only turn PLM vectors to their --whitening leading axes: their spread stays as it is.")
    projection_n_layers: Positive = option(2, "Layers of the MLP from PLM width to SASRec width.")
    projection_inner_sizes: Ids | None = option(None, "Its n-1 inner widths. Default: that of the vectors it reads.")
    projection_activation: Literal["gelu", "relu", "silu", "tanh"] = option("gelu", "What is between its layers.")

    @field_validator("whitening", mode="before")
    @classmethod
    def _spell_none(cls, value: Any) -> Any:
        return "none" if value in (None, "None") else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.sasrec_hidden_size % self.sasrec_n_heads:
            raise ValueError(
                f"--sasrec-n-heads {self.sasrec_n_heads} does not divide --sasrec-hidden-size {self.sasrec_hidden_size}"
            )
        if self.pca and self.whitening == "none":
            raise ValueError("--pca turns to as many axes as --whitening says, and that is none")
        sizes = self.projection_inner_sizes
        if sizes is not None and len(sizes) != self.projection_n_layers - 1:
            raise ValueError(
                f"--projection-inner-sizes gives {len(sizes)} widths; {self.projection_n_layers} layers"
                f" (--projection-n-layers) have {self.projection_n_layers - 1} inner widths"
            )
        return self


class LossOptions(Section):
    """What training makes small."""

    panel = "Loss"
    loss: Loss | None = option(
        None,
        f"ce: softmax over all items; in_batch: over those of the batch; {', '.join(NEGATIVES)}: against items drawn by"
        " chance. Default: ce, and in_batch where blocks of the PLM run in every step.",
    )
    loss_items: Literal["train", "all"] = option(
        "train", "Items that losses but in_batch rank a target among: those that training has, or all."
    )
    negatives: Positive | None = option(
        None,
        "Items drawn for a position, or a batch of sampled. Default:"
        f" {', '.join(f'{loss} {n:,}' for loss, n in NEGATIVES.items())}.",
    )
    gbce_t: Annotated[float, Field(ge=0, le=1)] = option(0.75, "gbce: how far it corrects for drawing few items.")
    bpr_penalty: Annotated[float, Field(ge=0)] = option(0.0, "bpr_max: weight of the squares of negatives' scores.")
    gather_negatives: bool = option(False, "in_batch, sampled: rank among the items of all processes' batches.")


class OptimiserOptions(Section):
    """AdamW."""

    panel = "Optimiser"
    lr: Annotated[float, Field(gt=0)] = option(1e-3, "Learning rate of everything outside the PLM.")
    projection_lr: Annotated[float, Field(gt=0)] | None = option(None, "Rate of the projection. Default: --lr.")
    plm_lr: Annotated[float, Field(gt=0)] = option(1e-5, "Rate of the PLM's top block.")
    plm_lr_layer_decay: Annotated[float, Field(gt=0, le=1)] = option(0.8, "Each block's rate over the next one's.")
    weight_decay: Annotated[float, Field(ge=0)] = option(0.1, "Weight decay; biases, norms and positions get none.")
    lr_schedule: Literal["constant", "linear", "cosine"] = option(
        "constant", "The rates after warm-up: as they are, or down to 0 at --max-epochs."
    )
    warmup_steps: Annotated[int, Field(ge=0)] = option(0, "Steps in which the rates rise from 0.")
    gradient_clip: Annotated[float, Field(gt=0)] | None = option(None, "Largest norm of the gradients of a step.")
    accumulate: Positive = option(1, "Batches that make a step together.")


class TrainerOptions(Section):
    """The training loop."""

    panel = "Training"
    max_epochs: Positive = option(100, "Epochs at most.")
    early_stop_patience: Positive = option(10, "Validations without a better NDCG@10 before training stops.")
    batch_size: Positive = option(64, "Windows a step a device.")
    num_workers: Annotated[int, Field(ge=0)] = option(0, "Threads that make batches ahead; 0 makes them in the step.")
    windows: Literal["last", "all"] = option("all", "Train on the last window of a history, or on every one.")
    precision: Literal["32", "bf16-mixed", "16-mixed"] = option("32", "Arithmetic of training; also bf16 and 16.")
    strategy: Literal[
        "none",
        "ddp",
        "fsdp",
        "fsdp_offload",
        "deepspeed_stage_2",
        "deepspeed_stage_2_offload",
        "deepspeed_stage_3",
        "deepspeed_stage_3_offload",
    ] = option("none", "How devices share the work; none: one device, or ddp on several.")
    gradient_checkpointing: bool = option(
        False, "Compute the PLM's trained blocks once more in the backward pass instead of keeping their states."
    )
    seed: Annotated[int, Field(ge=0)] = option(42, "Seed of weights, order and dropout.")
    name: FolderName | None = option(None, "Name of the run. Default: data set, input and PLM.")
    resume: str | None = option(
        None,
        "Continue a run: its name, or the last one when none is given; auto: the one of this name if it is unfinished,"
        " else begin.",
        bare="last",
        auto=True,
    )
    log_to: tuple[Literal["wandb", "mlflow"], ...] = option((), "Also log to these, as in wandb,mlflow.")
    dry_run: bool = option(False, "Say what would be trained, on what, and what it takes, and stop.")

    @field_validator("precision", mode="before")
    @classmethod
    def _spell_mixed(cls, value: Any) -> Any:
        return f"{value}-mixed" if str(value) in ("bf16", "16") else value
