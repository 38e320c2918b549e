"""From texts to token ids: a PLM's tokenizer, and a data set's texts through it, once."""

from collections.abc import Sequence
from typing import Any

from plmrs.data.dataset import Dataset
from plmrs.data.tokens import Tokens, make_tokens, open_tokens
from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm
from plmrs.plm.folder import AGAIN
from plmrs.plm.quiet import quiet
from plmrs.report import Progress


def plm_tokens(dataset: Dataset, plm: Plm, tokenized_len: int, progress: Progress) -> Tokens:
    """The texts of items 1…n as a PLM's token ids: taken from disk, or made once and kept there.

    Args:
        dataset: Whose texts.
        plm: Whose tokenizer; its weights are not needed.
        tokenized_len: Tokens kept of a text, special ones included.
        progress: Is told which of both it was, and how far tokenising is.

    Raises:
        UserError: the PLM cannot number so many tokens, so few hold no word, its tokenizer is damaged, or the disk
            cannot be written.
    """
    if tokenized_len > plm.max_tokens:
        raise UserError(f"--tokenized-len {tokenized_len}: {plm.name} reads {plm.max_tokens} tokens at most.")
    of = dataset, plm.folder_name, plm.tokenizer_identity, tokenized_len
    found = open_tokens(*of)
    if found is not None:
        progress.say(f"Texts are tokenised already, as {plm.name} does, to {tokenized_len} tokens at most.")
        return found
    tokenizer = load_tokenizer(plm)
    special = int(tokenizer.num_special_tokens_to_add())
    if tokenized_len <= special:
        # With fewer than its special tokens a Hugging Face tokenizer cuts nothing at all.
        raise UserError(
            f"--tokenized-len {tokenized_len}: the tokenizer of {plm.name} adds {special} special tokens to each text.",
            f"Keep at least one of the text's own: --tokenized-len {special + 1}.",
        )
    return make_tokens(*of, lambda texts: tokenise(tokenizer, texts, tokenized_len), progress)


def load_tokenizer(plm: Plm) -> Any:
    """The tokenizer that lies beside the weights.

    Raises:
        UserError: there is none, or it is damaged.
    """
    from transformers import AutoTokenizer

    try:
        with quiet():
            return AutoTokenizer.from_pretrained(str(plm.folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # The Rust tokenizers raise plain Exception for a damaged file.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"The tokenizer of {plm.name} in {plm.folder} cannot be read: {reason}", AGAIN) from error


def tokenise(tokenizer: Any, texts: Sequence[str], length: int) -> tuple[list[list[int]], list[int]]:
    """The token ids of each text, special tokens included, cut to `length`, and how many each has whole.

    A text without any token (an empty one, for a tokenizer that adds no special tokens) gets the one that begins or
    ends a text, so that every item has a vector.
    """
    if not texts:
        return [], []
    options = {"return_attention_mask": False, "return_token_type_ids": False, "verbose": False}
    ids: list[list[int]] = tokenizer(list(texts), **options)["input_ids"]
    whole = [max(1, len(row)) for row in ids]
    long = [row for row, tokens in enumerate(whole) if tokens > length]
    if long:
        # Only the tokenizer knows what it cuts: special tokens stay, and some cut on the left.
        cut = tokenizer([texts[row] for row in long], truncation=True, max_length=length, **options)["input_ids"]
        for row, kept in zip(long, cut, strict=True):
            ids[row] = kept
    known = (tokenizer.bos_token_id, tokenizer.cls_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    alone = next((token for token in known if token is not None), 0)
    return [row or [alone] for row in ids], whole
