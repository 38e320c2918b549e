"""What can be set: one frozen model a concern, one field an option.

A field is one flag (`--sasrec-seq-len`), one YAML key (`sasrec_seq_len`), one line of help and one rule. Keys are
unique within a verb, so a configuration is one flat mapping. A verb's configuration is a bundle of sections.
"""

from typing import ClassVar, Literal

from pydantic import ByteSize

from plmrs.config.data import DatasetOptions, DemoOptions, FilterOptions, RawOptions, SplitOptions
from plmrs.config.kinds import Positive
from plmrs.config.machine import DeviceOptions, NodeOptions, WorkspaceOptions
from plmrs.config.plm import (
    BoundaryOptions,
    CacheOptions,
    PlmOptions,
    PreInferenceOptions,
    PreinferOptions,
    PromptOptions,
    TuningOptions,
)
from plmrs.config.training import EvaluateOptions, LossOptions, ModelOptions, OptimiserOptions, TrainerOptions
from plmrs.section import Bundle, Section, option

__all__ = [
    "BoundaryOptions",
    "CacheOptions",
    "DatasetOptions",
    "DemoOptions",
    "DeviceOptions",
    "EvaluateConfig",
    "EvaluateOptions",
    "FilterOptions",
    "InspectConfig",
    "InspectOptions",
    "LossOptions",
    "ModelOptions",
    "NodeOptions",
    "OptimiserOptions",
    "PlmOptions",
    "PreInferenceOptions",
    "PreinferConfig",
    "PreinferOptions",
    "PrepareConfig",
    "PromptOptions",
    "RawOptions",
    "SplitOptions",
    "TrainConfig",
    "TrainerOptions",
    "TuningOptions",
    "VerbConfig",
    "WorkspaceOptions",
]


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
    boundary: BoundaryOptions = BoundaryOptions()
    cached: CacheOptions = CacheOptions()
    pre_inference: PreInferenceOptions = PreInferenceOptions()
    tuning: TuningOptions = TuningOptions()
    prompt: PromptOptions = PromptOptions()
    model: ModelOptions = ModelOptions()
    loss: LossOptions = LossOptions()
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
