import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from plmrs.config import ModelOptions
from plmrs.data.dataset import Histories
from plmrs.errors import UserError
from plmrs.model.batch import Batch
from plmrs.model.recommender import Recommender
from plmrs.model.weights import load_weights, save_weights, trained_state

COUNTS = torch.tensor([2, 1, 1, 1, 1, 0, 0])
WINDOWS = torch.tensor([[1, 2, 3, 4], [5, 1, 0, 0]])


def recommender(seed: int = 0, **options) -> Recommender:
    torch.manual_seed(seed)
    chosen = ModelOptions(**{"sasrec_seq_len": 3, "sasrec_hidden_size": 8, "sasrec_inner_size": 16} | options)
    vectors = None if chosen.input_type == "id" else torch.randn(7, 5)
    model = Recommender(chosen, COUNTS, vectors)
    model.items.fit_whitening()
    return model.eval()


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("input_type", ["id", "text", "text+id"])
def test_the_loss_is_that_of_each_real_position_over_the_items_in_training(input_type, similarity):
    model = recommender(input_type=input_type, similarity=similarity)
    vectors = model.items()
    losses = []
    for inputs, target in [([1], 2), ([1, 2], 3), ([1, 2, 3], 4), ([5], 1)]:
        state = model.sasrec(vectors[torch.tensor(inputs) - 1][None])[0, -1]
        if similarity == "cosine":
            logits = F.cosine_similarity(state[None], vectors[:5]) * model.log_scale.exp()
        else:
            logits = vectors[:5] @ state
        losses.append(F.cross_entropy(logits, torch.tensor(target - 1)))
    torch.testing.assert_close(model(Batch(WINDOWS)), torch.stack(losses).mean())


def test_an_item_never_in_training_gets_no_gradient_in_the_table_and_a_score_of_its_own_with_text():
    by_id = recommender(input_type="id")
    by_id(Batch(WINDOWS)).backward()
    gradient = by_id.items.table.weight.grad
    assert (gradient[5:] == 0).all()
    assert (gradient[:5].abs().sum(1) > 0).all()

    by_text = recommender(input_type="text")
    history = Histories(np.array([1, 2], np.int32), np.array([0]), np.array([2]))
    (scores,) = by_text.scores(history, 10)
    assert torch.isfinite(scores).all()
    assert scores[0, 5] != scores[0, 6]


def test_scores_do_not_depend_on_how_many_users_are_scored_together():
    model = recommender(input_type="text+id")
    items = np.array([1, 2, 3, 4, 5, 7, 2, 6], np.int32)  # the first history is longer than the model sees
    users = Histories(items, np.array([0, 5, 6]), np.array([5, 6, 8]))
    together = torch.cat(list(model.scores(users, 10)))
    alone = torch.cat(list(model.scores(users, 1)))
    torch.testing.assert_close(together, alone)
    last_three = Histories(items, np.array([2]), np.array([5]))
    torch.testing.assert_close(together[:1], next(model.scores(last_three, 1)))


@pytest.mark.parametrize("input_type", ["id", "text", "text+id"])
def test_saved_and_loaded_scores_are_equal(tmp_path, input_type):
    model = recommender(input_type=input_type, whitening=4)
    other = recommender(input_type=input_type, whitening=4, seed=1)
    if input_type != "id":
        other.items.constant = model.items.constant
    save_weights(trained_state(model), tmp_path / "model.safetensors")
    load_weights(other, tmp_path / "model.safetensors")
    users = Histories(np.array([1, 2], np.int32), np.array([0]), np.array([2]))
    assert torch.equal(next(model.scores(users, 1)), next(other.scores(users, 1)))


@pytest.mark.parametrize("name", ["model.safetensors", "best.ckpt"])
def test_damaged_weights_are_an_error_of_one_line(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"rubbish")
    with pytest.raises(UserError) as error:
        load_weights(recommender(), path)
    assert name in error.value.message
    assert "\n" not in error.value.message


def test_weights_of_another_configuration_are_refused(tmp_path):
    save_weights(trained_state(recommender()), tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="no weights of this model"):
        load_weights(recommender(sasrec_n_layers=1), tmp_path / "model.safetensors")
