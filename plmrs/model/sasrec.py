"""SASRec: causal self-attention over the vectors of a history (Kang and McAuley, arXiv 1808.09781).

Histories are padded on the right. A causal position never looks to its right, so padding needs no key mask, and without
dropout on attention weights PyTorch's fused kernel does the work.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the customary name

from plmrs.config import ModelOptions


class Block(nn.Module):
    """Self-attention and a feed-forward layer with GELU, each with a residual and a norm behind it."""

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        width = options.sasrec_hidden_size
        self.heads = options.sasrec_n_heads
        self.attention_dropout = options.sasrec_attention_dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=options.sasrec_layer_norm_eps)
        self.inner = nn.Linear(width, options.sasrec_inner_size)
        self.outer = nn.Linear(options.sasrec_inner_size, width)
        self.feed_forward_norm = nn.LayerNorm(width, eps=options.sasrec_layer_norm_eps)
        self.dropout = nn.Dropout(options.sasrec_hidden_dropout)

    def forward(self, x: Tensor) -> Tensor:
        """States after the block. [B, L, H] -> [B, L, H]"""
        size, length, width = x.shape
        # [B, L, 3H] -> 3 x [B, heads, L, H / heads]
        q, k, v = self.qkv(x).view(size, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        dropout = self.attention_dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=dropout)
        mixed = mixed.transpose(1, 2).reshape(size, length, width)  # [B, heads, L, H / heads] -> [B, L, H]
        x = self.attention_norm(x + self.dropout(self.out(mixed)))
        fed: Tensor = self.outer(F.gelu(self.inner(x)))
        y: Tensor = self.feed_forward_norm(x + self.dropout(fed))
        return y


class SASRec(nn.Module):
    """Reads the vectors of a history and gives a state at every position, compared with the next item's vector."""

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        self.positions = nn.Embedding(options.sasrec_seq_len, options.sasrec_hidden_size)
        self.norm = nn.LayerNorm(options.sasrec_hidden_size, eps=options.sasrec_layer_norm_eps)
        self.dropout = nn.Dropout(options.sasrec_hidden_dropout)
        self.blocks = nn.ModuleList(Block(options) for _ in range(options.sasrec_n_layers))
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=options.initializer_range)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, vectors: Tensor) -> Tensor:
        """States of a batch of histories, padded on the right. [B, L, H] -> [B, L, H]"""
        places = torch.arange(vectors.shape[1], device=vectors.device)
        x: Tensor = self.dropout(self.norm(vectors + self.positions(places)))
        for block in self.blocks:
            x = block(x)
        return x
