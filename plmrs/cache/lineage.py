"""Where the work at a boundary can begin: at the states of an earlier one that lie in a cache."""

from plmrs.cache.dtypes import EXACT
from plmrs.cache.integrity import verify
from plmrs.cache.store import Cache, list_caches
from plmrs.cache.texts import Texts
from plmrs.data.dataset import Dataset
from plmrs.plm.checkpoint import Plm
from plmrs.workspace import Workspace


def deepest_start(
    workspace: Workspace, dataset: Dataset, plm: Plm, texts: Texts, tokenized_len: int, precision: str, blocks: int
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
    fitting.sort(key=lambda cache: (cache.blocks, lineage(cache, precision) is None), reverse=True)
    return next((cache for cache in fitting if cache.is_complete and not verify(cache)), None)


def lineage(start: Cache | None, precision: str) -> str | None:
    """What a cache that is computed from `start` depends on besides the PLM, a part of its fingerprint.

    Returns:
        The fingerprint of `start` when its dtype keeps less than was computed; else that of the cache which `start`
        depends on itself; None when states are as if they had been computed from the texts at once.
    """
    if start is None:
        return None
    if start.dtype not in EXACT[precision]:
        return start.fingerprint
    source = start.manifest["source"]
    return None if source is None else str(source)
