"""What can be set: one frozen model a concern, one field an option.

A field is one flag (`--sasrec-seq-len`), one YAML key (`sasrec_seq_len`), one line of help and one rule. Keys are
unique within a verb, so a configuration is one flat mapping. A verb's configuration is a bundle of sections.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ByteSize, Field, field_validator, model_validator

from plmrs.section import Bundle, Section, option
from plmrs.workspace import Workspace

Ids = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


class WorkspaceOptions(Section):
    """Where things lie."""

    panel = "Workspace"
    root: Path = option(Path("data"), "Folder of raw files, prepared data sets and caches.", env="PLMRS_ROOT")
    runs: Path = option(Path("runs"), "Folder of trained models.", env="PLMRS_RUNS")

    def open(self) -> Workspace:
        """The workspace these options name."""
        return Workspace(self.root, self.runs)


class RawOptions(Section):
    """The raw files of `prepare`, and the name of what is made of them."""

    panel = "Raw files"
    name: str | None = option(
        None, "Name of the prepared data set; several of one source lie side by side. Default: the source's."
    )
    items: Path | None = option(
        None, "Table of items: csv, tsv, jsonl, parquet or feather, .gz or .zst behind it, or a folder of Parquet."
    )
    interactions: Path | None = option(None, "Table of who took what, in the same formats.")
    item_column: str | None = option(
        None, "Column of item ids. Default: item_id, or what MovieLens, Amazon, RecBole and others call it."
    )
    user_column: str | None = option(None, "Column of user ids. Default: user_id, or what such data sets call it.")
    time_column: str | None = option(None, "Column of times. Default: timestamp or time; without one the row order.")
    text_fields: tuple[str, ...] | None = option(
        None, "Columns joined to the item's text, as in title,abstract. Default: the title.", "--text-columns"
    )
    text_template: str | None = option(None, 'The item\'s text with columns in braces, as in "{title}. {abstract}".')
    category_column: str | None = option(None, "Column of the item's category. Default: category, where there is one.")


class FilterOptions(Section):
    """Which users, items and interactions `prepare` keeps."""

    panel = "What is kept"
    min_item_seq_len: Positive = option(5, "Users with fewer items are dropped.")
    max_item_seq_len: Positive | None = option(None, "Longer histories keep their most recent items.")
    k_core: Positive | None = option(
        None, "Users and items with fewer interactions are dropped until none is left with fewer."
    )
    drop_repeats: Literal["none", "consecutive", "all"] = option(
        "none", "Repeats of an item by a user: keep them, drop those right after another, or drop all but the first."
    )
    sample_users: Positive | None = option(None, "Draw so many users by chance.")
    sample_seed: Annotated[int, Field(ge=0)] = option(42, "Seed of --sample-users.")
    keep_items: Literal["all", "interacted"] = option("all", "Keep items that nobody took, as candidates, or not.")


class SplitOptions(Section):
    """What is trained on, and what is held out."""

    panel = "Split"
    split: Literal["leave_one_out", "ratio", "temporal"] = option(
        "leave_one_out", "Hold out each user's last two items, the last item of some users, or what is newest."
    )
    split_shares: Annotated[tuple[Share, ...], Field(min_length=3, max_length=3)] = option(
        (0.8, 0.1, 0.1), "ratio: shares of users; temporal: of interactions; for training, validation and test."
    )
    split_seed: Annotated[int, Field(ge=0)] = option(42, "Seed that deals users out by ratio.")
    split_times: Annotated[tuple[str, ...], Field(min_length=2, max_length=2)] | None = option(
        None, "temporal: where validation and test begin, as 2019-11-14,2019-11-15. Default: by --split-shares."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if abs(sum(self.split_shares) - 1) > 1e-6 or not all(self.split_shares):
            raise ValueError(f"--split-shares {self.split_shares} are not three shares that make 1 together")
        return self


class DemoOptions(Section):
    """The generated data set."""

    panel = "Demo"
    demo_seed: Annotated[int, Field(ge=0)] = option(7, "Seed of the generated catalogue and its readers.")


class DatasetOptions(Section):
    """The prepared data set."""

    panel = "Data"
    dataset: str | None = option(None, "Prepared data set. Default: the one prepared last.")


class PlmOptions(Section):
    """The pretrained language model (PLM)."""

    panel = "Language model"
    plm_name: str | None = option(
        None, "Hub name, local folder, or minilm. Default: the one cached last, else facebook/opt-125m.", "--plm"
    )
    tokenized_len: Positive = option(30, "Tokens kept of an item's text.")


class CacheOptions(Section):
    """Which of the cached vectors a model reads."""

    panel = "Language model"
    pooling_method: Literal["mean", "last", "cls"] = option("mean", "How token states become the item's vector.")
    cache: Path | None = option(None, "Use this cache instead of finding one by data set, PLM and options.")


class PreinferOptions(Section):
    """How `preinfer` computes."""

    panel = "Computation"
    batch_size: Positive | None = option(None, "Texts a batch. Default: as many as make 4,096 tokens.")
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


class NodeOptions(Section):
    """Several machines on a shared folder."""

    panel = "Devices"
    num_nodes: Positive | None = option(None, "Machines that share the work. Default: as SLURM or torchrun say, or 1.")
    node_rank: Annotated[int, Field(ge=0)] | None = option(None, "This machine's number, from 0. Default: likewise.")


class DeviceOptions(Section):
    """Where to compute."""

    panel = "Devices"
    accelerator: Literal["auto", "cpu", "gpu"] = option("auto", "Kind of device.")
    devices: Ids | None = option(None, "Device ids, as in 0 1; on the cpu each id is a process. Default: one device.")


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
    projection_n_layers: Positive = option(2, "Layers of the MLP from PLM width to SASRec width.")
    projection_inner_sizes: Ids | None = option(None, "Its n-1 inner widths. Default: that of the vectors it reads.")

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
        sizes = self.projection_inner_sizes
        if sizes is not None and len(sizes) != self.projection_n_layers - 1:
            raise ValueError(
                f"--projection-inner-sizes gives {len(sizes)} widths; {self.projection_n_layers} layers"
                f" (--projection-n-layers) have {self.projection_n_layers - 1} inner widths"
            )
        return self


class OptimiserOptions(Section):
    """AdamW."""

    panel = "Optimiser"
    lr: Annotated[float, Field(gt=0)] = option(1e-3, "Learning rate.")
    projection_lr: Annotated[float, Field(gt=0)] | None = option(None, "Rate of the projection. Default: --lr.")
    weight_decay: Annotated[float, Field(ge=0)] = option(0.1, "Weight decay; biases, norms and positions get none.")


class TrainerOptions(Section):
    """The training loop."""

    panel = "Training"
    max_epochs: Positive = option(100, "Epochs at most.")
    early_stop_patience: Positive = option(10, "Validations without a better NDCG@10 before training stops.")
    batch_size: Positive = option(64, "Windows a step a device.")
    windows: Literal["last", "all"] = option("all", "Train on the last window of a history, or on every one.")
    precision: Literal["32", "bf16-mixed", "16-mixed"] = option("32", "Arithmetic of training.")
    strategy: Literal["none", "ddp"] = option("none", "none: one device, or ddp on several.")
    seed: Annotated[int, Field(ge=0)] = option(42, "Seed of weights, order and dropout.")
    name: str | None = option(None, "Name of the run. Default: data set, input and PLM.")
    resume: str | None = option(None, "Continue a run: its name, or the last one when none is given.", bare="last")


class EvaluateOptions(Section):
    """Full ranking."""

    panel = "Protocol"
    topk_list: Annotated[tuple[Positive, ...], Field(min_length=1)] = option((5, 10, 20), "Cut-offs k of the metrics.")
    mask_seen: bool = option(True, "Rank without the user's earlier items.")


class InspectOptions(Section):
    """What `inspect` shows, and does to a cache."""

    panel = "What is shown"
    plot: bool = option(False, "Also draw a data set's distributions as PNG files, into its folder.")
    verify: bool = option(False, "Compare every unit of a cache with its checksums, and recompute some of its texts.")
    repair: bool = option(False, "Make again what is damaged or missing in a cache, and nothing else.")
    max_memory: ByteSize | None = option(
        None, "Memory for a PLM, as in 8GiB: how many of its blocks are held at once. Default: what the device has."
    )
    precision: Literal["auto", "32", "bf16", "fp16"] = option(
        "auto", "Weights and states a PLM is reckoned with; auto: bf16 where the device computes in it, else 32."
    )
    tokenized_len: Positive = option(15, "Tokens a text that a PLM's bytes on disk are reckoned with.")


class VerbConfig(Bundle):
    """A verb's sections."""

    presets: ClassVar[bool] = False
    """Whether the verb takes `--preset`."""
    workspace: WorkspaceOptions = WorkspaceOptions()


class PrepareConfig(VerbConfig):
    """Options of `plmrs prepare`."""

    raw: RawOptions = RawOptions()
    filters: FilterOptions = FilterOptions()
    splits: SplitOptions = SplitOptions()
    demo: DemoOptions = DemoOptions()


class PreinferConfig(VerbConfig):
    """Options of `plmrs preinfer`."""

    data: DatasetOptions = DatasetOptions()
    plm: PlmOptions = PlmOptions()
    boundary: BoundaryOptions = BoundaryOptions()
    compute: PreinferOptions = PreinferOptions()
    device: DeviceOptions = DeviceOptions()
    nodes: NodeOptions = NodeOptions()


class TrainConfig(VerbConfig):
    """Options of `plmrs train`."""

    presets = True
    data: DatasetOptions = DatasetOptions()
    plm: PlmOptions = PlmOptions()
    cached: CacheOptions = CacheOptions()
    model: ModelOptions = ModelOptions()
    optimiser: OptimiserOptions = OptimiserOptions()
    trainer: TrainerOptions = TrainerOptions()
    protocol: EvaluateOptions = EvaluateOptions()
    device: DeviceOptions = DeviceOptions()


class EvaluateConfig(VerbConfig):
    """Options of `plmrs evaluate`."""

    protocol: EvaluateOptions = EvaluateOptions()
    device: DeviceOptions = DeviceOptions()


class InspectConfig(VerbConfig):
    """Options of `plmrs inspect`."""

    shown: InspectOptions = InspectOptions()
