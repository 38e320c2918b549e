"""What can be set: one frozen model a concern, one field an option.

A field is one flag (`--sasrec-seq-len`), one YAML key (`sasrec_seq_len`), one line of help and one rule. Keys are
unique within a verb, so a configuration is one flat mapping. A verb's configuration is a bundle of sections.
"""

from typing import ClassVar

from plmrs.config.data import DatasetOptions, DemoOptions, FilterOptions, RawOptions, SplitOptions
from plmrs.config.evaluation import EvaluateOptions, RankingOptions, ResultOptions
from plmrs.config.inspection import InspectOptions
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
from plmrs.config.recommendation import ExportOptions, NewItemOptions, RecommendOptions
from plmrs.config.training import LossOptions, ModelOptions, OptimiserOptions, TrainerOptions
from plmrs.section import Bundle

__all__ = [
    "BoundaryOptions",
    "CacheOptions",
    "DatasetOptions",
    "DemoOptions",
    "DeviceOptions",
    "EvaluateConfig",
    "EvaluateOptions",
    "ExportConfig",
    "ExportOptions",
    "FilterOptions",
    "InspectConfig",
    "InspectOptions",
    "LossOptions",
    "ModelOptions",
    "NewItemOptions",
    "NodeOptions",
    "OptimiserOptions",
    "PlmOptions",
    "PreInferenceOptions",
    "PreinferConfig",
    "PreinferOptions",
    "PrepareConfig",
    "PromptOptions",
    "RankingOptions",
    "RawOptions",
    "RecommendConfig",
    "RecommendOptions",
    "ResultOptions",
    "SplitOptions",
    "TrainConfig",
    "TrainerOptions",
    "TuningOptions",
    "VerbConfig",
    "WorkspaceOptions",
]


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
    ranking: RankingOptions = RankingOptions()
    results: ResultOptions = ResultOptions()
    device: DeviceOptions = DeviceOptions()


class RecommendConfig(VerbConfig):
    """Options of `plmrs recommend`."""

    wanted: RecommendOptions = RecommendOptions()
    new: NewItemOptions = NewItemOptions()
    device: DeviceOptions = DeviceOptions()


class ExportConfig(VerbConfig):
    """Options of `plmrs export`."""

    parts: ExportOptions = ExportOptions()
    device: DeviceOptions = DeviceOptions()


class InspectConfig(VerbConfig):
    """Options of `plmrs inspect`."""

    shown: InspectOptions = InspectOptions()
