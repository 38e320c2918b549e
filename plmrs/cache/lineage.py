"""Where the work at a boundary can begin: at the states of an earlier one that lie in a cache."""

from __future__ import annotations

from plmrs.cache.dtypes import Dtype
from plmrs.cache.find import list_caches
from plmrs.cache.integrity import verify
from plmrs.cache.store import Cache
from plmrs.cache.texts import Texts
from plmrs.data.dataset import Dataset
from plmrs.plm.checkpoint import Plm, Precision
from plmrs.workspace import Workspace


def exact_dtype(plm: Plm, precision: Precision) -> Dtype:
    """The dtype of the states between the PLM's blocks: the smallest that keeps all of them."""
    import torch

    from plmrs.plm.pieces import state_dtype
    from plmrs.plm.precision import DTYPES

    names: dict[torch.dtype, Dtype] = {
        torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16",
    }  # fmt: skip
    return names[state_dtype(plm, DTYPES[precision])]


def deepest_start(
    workspace: Workspace,
    dataset: Dataset,
    plm: Plm,
    texts: Texts,
    tokenized_len: int,
    precision: Precision,
    exact: Dtype,
    blocks: int,
) -> Cache | None:
    """The complete and sound cache that lies deepest before a boundary; of several there, one that keeps all.

    Each candidate is read whole and compared with its checksums, which costs little beside the blocks it saves.

    Args:
        workspace: Where it is looked for.
        dataset: Whose texts it must hold.
        plm: Whose states, with the weights they are now.
        texts: The distinct texts, as the units are made of.
        tokenized_len: Tokens kept of a text.
        precision: What its states were computed in, as these will be.
        exact: As `exact_dtype` gives it.
        blocks: The wanted boundary, as the number of blocks before it.
    """
    wanted = {
        "texts_fingerprint": dataset.texts_fingerprint,
        "text_table": texts.fingerprint,
        "tokenizer_identity": plm.tokenizer_identity,
        "tokenized_len": tokenized_len,
        "plm_identity": plm.identity,
        "precision": precision,
    }
    fitting = [
        cache
        for cache in list_caches(workspace, dataset.name)
        if cache.blocks < blocks and all(cache.manifest[key] == value for key, value in wanted.items())
    ]
    fitting.sort(key=lambda cache: (cache.blocks, lineage(cache, exact) is None), reverse=True)
    return next((cache for cache in fitting if cache.is_complete and not verify(cache)), None)


def lineage(start: Cache | None, exact: Dtype) -> str | None:
    """What a cache that is computed from `start` depends on besides the PLM, a part of its fingerprint.

    Args:
        start: A cache at an earlier boundary; None for the texts.
        exact: As `exact_dtype` gives it.

    Returns:
        The fingerprint of `start` when its dtype keeps less than was computed; else that of the cache which `start`
        depends on itself; None when states are as if they had been computed from the texts at once.
    """
    if start is None:
        return None
    if start.dtype not in {exact, "float32"}:
        return start.fingerprint
    source = start.manifest["source"]
    return None if source is None else str(source)
