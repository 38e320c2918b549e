"""A PLM in pieces: its embeddings, any range of its blocks, its final norm, each as large in memory as its own weights.

A piece is Hugging Face's own model of fewer blocks, whose weights are those of the range and whose embeddings or norm
are taken out where the range does not reach them. Masks, positions, rotary angles and biases are thus what its forward
makes of them: chained pieces compute what the whole model does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm, family
from plmrs.plm.folder import AGAIN
from plmrs.plm.quiet import quiet
from plmrs.plm.tensors import read_tensors


class Piece(nn.Module):
    """Blocks first…stop-1 of a PLM, as `load_piece` makes it.

    Attributes:
        model: Hugging Face's model of these blocks alone.
        first: Its first block.
        stop: The block behind its last.
        embeddings: Whether it begins with the embeddings, and so reads token ids.
        vocabulary: Token ids are below this.
        padding: A token id for padding.
    """

    def __init__(self, model: Any, first: int, stop: int, embeddings: bool) -> None:
        super().__init__()
        self.model = model
        self.first = first
        self.stop = stop
        self.embeddings = embeddings
        self.vocabulary = int(model.config.vocab_size)
        padding = model.config.pad_token_id
        self.padding = padding if isinstance(padding, int) and padding >= 0 else 0

    def forward(self, inputs: Tensor, mask: Tensor | None = None, **others: Any) -> Tensor:
        """States behind the piece's last block.

        Args:
            inputs: With embeddings, token ids [texts, tokens] int64; without, the states that the piece before gave,
                in the precision it gave them. [texts, tokens, H]
            mask: 1 at real tokens, 0 at the padding on their right. [texts, tokens] int64; None where no text is
                padded, which saves the attention its mask.
            others: Further arguments of Hugging Face's model, those of a prompt.

        Returns:
            States, of no meaning at padding. [texts, tokens, H]
        """
        given = {"inputs_embeds" if inputs.is_floating_point() else "input_ids": inputs}
        states: Tensor = self.model(**given, attention_mask=mask, **others).last_hidden_state
        return states


def load_piece(
    plm: Plm,
    first: int,
    stop: int,
    dtype: torch.dtype,
    device: torch.device,
    embeddings: bool = True,
    dropout: float = 0.0,
) -> Piece:
    """Blocks first…stop-1 of a PLM on a device, reading no other weights.

    With `first` 0 the embeddings come before them, so that `load_piece(plm, 0, 0, …)` is the embeddings alone; with
    `stop` at the PLM's end its final norm follows. OPT-350m's projection of its output and BERT's pooler are left out.

    Args:
        plm: Which PLM.
        first: Its first block.
        stop: The block behind its last.
        dtype: Precision of weights and states. In float16 T5 keeps its blocks' last weights, and with them the states
            between blocks, in float32, as in Hugging Face's model.
        device: Where it runs.
        embeddings: False to start block 0 from states.
        dropout: The rate of all its dropouts, once it is put in training mode; LayerDrop is off in any case.

    Raises:
        UserError: the weight files are damaged, or lack a tensor of these blocks.
    """
    model = _skeleton(plm, first, stop, dtype, embeddings, dropout)
    wanted = model.state_dict()
    stored = {name: family(plm.model_type).stored_name(name, first) for name in wanted}
    tensors = read_tensors(plm, {stored[name]: tensor for name, tensor in wanted.items()}, device)
    model.load_state_dict({name: tensors[stored[name]] for name in wanted}, assign=True)
    # The weights lie there already. What moves are buffers that no checkpoint holds; one left on meta would raise.
    piece = Piece(model.to(device), first, stop, embeddings and first == 0)
    return piece.eval().requires_grad_(False)


def piece_bytes(plm: Plm, first: int, stop: int, dtype: torch.dtype, embeddings: bool = True) -> int:
    """Bytes of the weights of `load_piece`, from the configuration alone."""
    return sum(tensor.nbytes for tensor in _skeleton(plm, first, stop, dtype, embeddings).state_dict().values())


def state_dtype(plm: Plm, dtype: torch.dtype) -> torch.dtype:
    """The precision of the states between blocks: that of the weights, but float32 for T5 in float16."""
    return torch.float32 if plm.model_type == "t5" and dtype == torch.float16 else dtype


def _skeleton(plm: Plm, first: int, stop: int, dtype: torch.dtype, embeddings: bool, dropout: float = 0.0) -> Any:
    """The piece's model, its weights on the meta device in the precision they shall have."""
    from transformers import AutoConfig

    if not 0 <= first <= stop <= plm.n_blocks:
        raise ValueError(f"{plm.name} has the blocks 0…{plm.n_blocks - 1}, none from {first} to {stop}.")
    try:
        with quiet():
            config = AutoConfig.from_pretrained(str(plm.folder), local_files_only=True, trust_remote_code=False)
            config.num_hidden_layers = stop - first
            if getattr(config, "layer_types", None) is not None:
                # Qwen says of each block whether its attention is confined to a window.
                config.layer_types = config.layer_types[first:stop]
            # Each text is read once: keys and values kept for a continuation would only take memory.
            config.use_cache = False
            # A configuration may name a kernel at the hub, which transformers would fetch and run.
            config._attn_implementation = None
            for rate in family(plm.model_type).DROPOUTS:
                setattr(config, rate, dropout)
            if hasattr(config, "layerdrop"):
                config.layerdrop = 0.0  # OPT's: it would skip whole blocks by chance.
            begin, end = embeddings and first == 0, stop == plm.n_blocks
            model = family(plm.model_type).build(config, embeddings=begin, norm=end)
    except Exception as error:  # Numbers that fit no model show as an error of any kind.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{plm.folder / 'config.json'} describes no {plm.model_type}: {reason}", AGAIN) from error
    # What Hugging Face keeps in float32 beside float16: the last weights of T5's blocks, whose products overflow it.
    kept = set(getattr(model, "_keep_in_fp32_modules", None) or ()) if dtype == torch.float16 else set()
    for name, parameter in model.named_parameters():
        parameter.data = parameter.data.to(torch.float32 if kept & set(name.split(".")) else dtype)
    return model
