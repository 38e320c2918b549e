"""How a model uses a PLM: which of its blocks run in every step, and what these read.

    --plm-last-n-unfreeze   prompt   --pre-inference auto     … false
    0                       no       pooled vectors, cached   the PLM runs frozen
    0                       yes      the PLM runs frozen, the prompt trains
    n > 0                   no       n blocks train, on       n blocks train, the others run frozen
                            yes      cached states
    -1                      any      the whole PLM trains

A prompt acts in all blocks that run. `--pre-inference true` is refused where nothing could be cached.
"""

from dataclasses import dataclass
from typing import Literal

from plmrs.cache.store import Cache
from plmrs.config import LossOptions, TrainConfig
from plmrs.config.training import NEGATIVES
from plmrs.data.tokens import Tokens
from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm
from plmrs.plm.prompts import Prompt, resolve_prompt
from plmrs.plm.trainable import TrainablePlm, load_trainable

WHOLE = -1


@dataclass(frozen=True)
class PlmUse:
    """Which blocks run.

    Attributes:
        reads: pooled: none, vectors are constants; states: the trained ones, on a cached boundary; tokens: all.
        trained: Blocks at the end that train; -1 for all, with the embeddings.
        prompted: Whether a prompt trains.
    """

    reads: Literal["pooled", "states", "tokens"]
    trained: int = 0
    prompted: bool = False

    @property
    def live(self) -> bool:
        """Whether blocks run in every step."""
        return self.reads != "pooled"


@dataclass(frozen=True)
class PlmSource:
    """The PLM of a model on disk.

    Attributes:
        use: Which of its blocks run.
        cache: Pooled vectors or states, where they are cached.
        plm: The PLM, where blocks of it run.
        tokens: The items' token ids, where it reads those.
    """

    use: PlmUse
    cache: Cache | None = None
    plm: Plm | None = None
    tokens: Tokens | None = None


def plm_use(config: TrainConfig) -> PlmUse | None:
    """How a configuration uses its PLM; None for input type id.

    Raises:
        UserError: options contradict each other.
    """
    trained, prompted = config.boundary.plm_last_n_unfreeze, config.prompt.use_prompt
    cached = config.cached.pre_inference
    if config.trainer.gradient_checkpointing and not trained and not prompted:
        raise UserError(
            "--gradient-checkpointing: no block of the PLM trains, and no prompt does.", "Give --plm-last-n-unfreeze."
        )
    if config.model.input_type == "id":
        if trained or prompted:
            option = "--use-prompt" if prompted else f"--plm-last-n-unfreeze {trained}"
            raise UserError(f"{option}: a model of --input-type id reads no PLM.", "Use --input-type text or text+id.")
        return None
    if trained == WHOLE or (prompted and not trained):
        if cached == "true":
            why = "all of the PLM trains" if trained else "the prompt acts in all blocks"
            raise UserError(
                f"--pre-inference True: {why}, so that no states can be computed beforehand.",
                "Leave --pre-inference out, or give --plm-last-n-unfreeze the blocks that shall train.",
            )
        return PlmUse("tokens", trained, prompted)
    if cached == "false":
        return PlmUse("tokens", trained, prompted)
    return PlmUse("states", trained, prompted) if trained else PlmUse("pooled")


def resolved_loss(config: TrainConfig) -> LossOptions:
    """The loss with what its options leave open filled in.

    Raises:
        UserError: an option says something of another loss.
    """
    options, use = config.loss, plm_use(config)
    loss = options.loss or ("in_batch" if use is not None and use.live else "ce")
    if options.negatives is not None and loss not in NEGATIVES:
        raise UserError(f"--negatives: the loss {loss} draws none.", f"Losses that do: {', '.join(NEGATIVES)}.")
    if options.gather_negatives and loss not in ("in_batch", "sampled"):
        raise UserError(
            f"--gather-negatives: the loss {loss} has no candidates of a batch.", "Use --loss in_batch or sampled."
        )
    return options.model_copy(update={"loss": loss, "negatives": options.negatives or NEGATIVES.get(loss)})


def live_plm(config: TrainConfig, source: PlmSource) -> TrainablePlm:
    """The blocks of a PLM that run in every step, as its checkpoint has them.

    Raises:
        UserError: its files are damaged, it has fewer blocks, or it takes no such prompt.
    """
    plm, use = source.plm, source.use
    assert plm is not None
    start = check_blocks(plm, use) if use.reads == "states" else None
    pooling = config.cached.pooling_method
    prompt: Prompt | None = resolve_prompt(config.prompt, plm, pooling) if use.prompted else None
    return load_trainable(
        plm, start, use.trained, pooling, prompt, config.tuning.plm_dropout, config.trainer.gradient_checkpointing
    )


def check_blocks(plm: Plm, use: PlmUse) -> int:
    """The boundary before the blocks that train.

    Raises:
        UserError: the PLM has fewer blocks.
    """
    if use.trained > plm.n_blocks:
        raise UserError(
            f"--plm-last-n-unfreeze {use.trained}: {plm.name} has {plm.n_blocks} blocks.",
            f"Give 0 to {plm.n_blocks}, or -1 for all of it.",
        )
    return 0 if use.trained == WHOLE else plm.n_blocks - use.trained
