"""The pretrained language model, what is computed with it beforehand, and what of that a model reads."""

from typing import Annotated, Any, Literal

from pydantic import ByteSize, Field, field_validator

from plmrs.config.kinds import Ids, Positive, Share
from plmrs.section import Section, option


class PlmOptions(Section):
    """The pretrained language model (PLM)."""

    panel = "Language model"
    plm_name: str | None = option(
        None, "Hub name, local folder, or minilm. Default: the one cached last, else facebook/opt-125m.", "--plm"
    )
    tokenized_len: Positive = option(30, "Tokens kept of an item's text.")


class CacheOptions(Section):
    """What of the PLM is computed beforehand, and how its states become vectors."""

    panel = "Language model"
    pooling_method: Literal["mean", "last", "mean_last", "cls"] = option(
        "mean", "How token states become the item's vector."
    )
    pre_inference: Literal["auto", "true", "false"] = option(
        "auto",
        "Read the frozen blocks' states from a cache, made first where it is missing, or run these blocks in every"
        " step; auto: the cache, unless nothing is frozen or prompts act in frozen blocks.",
        bare="true",
    )
    cache: str | None = option(None, "Use this cache, a folder or URL, instead of finding one by data set and PLM.")

    @field_validator("pre_inference", mode="before")
    @classmethod
    def _spell_bool(cls, value: Any) -> Any:
        return str(value).lower()


class PreInferenceOptions(Section):
    """How `train` makes a cache that is missing."""

    panel = "Language model"
    pre_inference_batch_size: Positive | None = option(None, "As --batch-size of preinfer.")
    pre_inference_devices: Ids | None = option(None, "As --devices of preinfer. Default: those of the training.")
    pre_inference_precision: Literal["auto", "32", "bf16", "fp16"] = option("auto", "As --precision of preinfer.")
    pre_inference_num_workers: Annotated[int, Field(ge=0)] = option(0, "As --num-workers of preinfer.")


class TuningOptions(Section):
    """How the blocks of the PLM that are not frozen train."""

    panel = "Language model"
    plm_dropout: Share = option(0.0, "Dropout in the PLM's blocks that train; frozen blocks have none.")


class PromptOptions(Section):
    """P-tuning v2: trained keys and values before and behind a text's own, in every block."""

    panel = "Prompt"
    use_prompt: bool = option(False, "Train a prompt.")
    prompt_projection: bool = option(True, "Make it of a small embedding by an MLP, which trains more steadily.")
    prompt_hidden_size: Positive = option(128, "Inner width of that MLP.")
    pre_seq_len: Annotated[int, Field(ge=0)] = option(20, "Keys and values before the text.")
    post_seq_len: Annotated[int, Field(ge=0)] | None = option(
        None, "Keys and values behind the text, for the last query. Default: 10 for decoders that pool last, else 0."
    )
    last_query_len: Annotated[int, Field(ge=0)] | None = option(
        None, "Learned inputs behind the text; the last one's state is pooled as last. Default: 1 likewise, else 0."
    )


class PreinferOptions(Section):
    """How `preinfer` computes."""

    panel = "Computation"
    batch_size: Positive | None = option(None, "Texts at work at once. Default: as many as make 4,096 tokens.")
    num_workers: Annotated[int, Field(ge=0)] = option(0, "Accepted; reading and writing have threads of their own.")
    precision: Literal["auto", "32", "bf16", "fp16"] = option(
        "auto", "Weights and states of the PLM; auto: bf16 where the device computes in it, else 32."
    )
    dtype: Literal["float16", "bfloat16", "float32"] = option("float16", "How the cache stores states.")
    keep_tokens: bool = option(False, "Also store the final states of every token, not just pooled vectors.")
    max_memory: ByteSize | None = option(
        None, "Memory for the PLM, as in 8GiB: how many of its blocks are held at once. Default: what the device has."
    )
    keep_intermediate: bool = option(False, "Keep the states between groups of blocks.")
    dry_run: bool = option(False, "Say what would be done, and what it takes, and stop.")


class BoundaryOptions(Section):
    """Which blocks of the PLM stay frozen."""

    panel = "Language model"
    plm_last_n_unfreeze: Annotated[int, Field(ge=-1)] = option(
        0, "Blocks at the PLM's end that are to be trained: states are stored before them; 0 stores pooled vectors."
    )
