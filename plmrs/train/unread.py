"""Options that were given for something that a training does not do."""

from collections.abc import Iterable

from plmrs.config import CacheOptions, PlmOptions, PreInferenceOptions, PromptOptions, TrainConfig, TuningOptions
from plmrs.config.training import OF_ONE_LOSS
from plmrs.model.source import plm_use, resolved_loss
from plmrs.origins import flag

OF_TEXT = ("whitening", "pca", "projection_n_layers", "projection_inner_sizes", "projection_activation")
"""What `ModelOptions` says of texts alone."""


def unread(config: TrainConfig) -> list[str]:
    """A line for each reason why flags have no effect. What a file or a preset says may serve other trainings as well.

    Raises:
        UserError: options contradict each other.
    """
    found = []
    for reason, keys in _reasons(config):
        given = [flag(key) for key in keys if config.origins.get(key) == "flag"]
        if given:
            effect = "has" if len(given) == 1 else "have"
            found.append(f"{', '.join(given)} {effect} no effect: {reason}.")
    return found


def _reasons(config: TrainConfig) -> Iterable[tuple[str, Iterable[str]]]:
    use, loss = plm_use(config), resolved_loss(config).loss
    for key, only in OF_ONE_LOSS.items():
        if loss != only:
            yield f"the loss is {loss}, not {only}", [key]
    if loss == "in_batch":
        yield "the loss in_batch ranks among the items of a batch", ["loss_items"]
    prompt = [key for key in PromptOptions.model_fields if key != "use_prompt"]
    tuning = [*TuningOptions.model_fields, "plm_lr", "plm_lr_layer_decay"]
    made = PreInferenceOptions.model_fields
    if use is None:
        of_plm = [*PlmOptions.model_fields, *CacheOptions.model_fields, "projection_lr"]
        yield "a model of --input-type id reads no texts", [*of_plm, *made, *tuning, *prompt, *OF_TEXT]
        return
    if not config.prompt.use_prompt:
        yield "no prompt trains (--use-prompt)", prompt
    elif not config.prompt.prompt_projection:
        yield "the prompt has no MLP (--prompt-projection)", ["prompt_hidden_size"]
    if not use.trained:
        yield "no block of the PLM trains (--plm-last-n-unfreeze)", tuning
    if use.reads == "tokens":
        yield "no states are computed beforehand", ["cache", *made]
    elif config.cached.cache is not None:
        yield "--cache names the one that is read", made
    if config.cached.pooling_method == "mean_last":
        yield "what joins the poolings of mean_last takes the place of whitening", ["whitening", "pca"]
