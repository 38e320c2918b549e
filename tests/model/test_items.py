import numpy as np
import pytest
import torch

from plmrs.config import ModelOptions
from plmrs.model.items import ItemVectors
from plmrs.model.whitening import Whitening


def test_whitened_training_vectors_have_no_mean_and_unit_covariance():
    torch.manual_seed(0)
    x = torch.randn(500, 6) @ torch.randn(6, 6) + 5
    whitening = Whitening(6, 6)
    whitening.fit(x)
    y = whitening(x).double().numpy()
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(np.cov(y.T, bias=True), np.eye(6), atol=1e-6)


def test_the_kept_dimensions_are_the_leading_principal_axes():
    torch.manual_seed(0)
    x = torch.randn(300, 4) * torch.tensor([1.0, 10.0, 3.0, 0.1])
    whitening = Whitening(4, 2)
    whitening.fit(x)
    leading = whitening.axes.abs().argmax(dim=0)
    assert leading.tolist() == [1, 2]


def test_directions_without_variance_are_not_blown_up():
    x = torch.cat([torch.randn(3, 2), torch.ones(3, 2)], dim=1)  # 3 items, 4 dimensions
    whitening = Whitening(4, 4)
    whitening.fit(x)
    assert torch.isfinite(whitening(torch.randn(5, 4))).all()
    assert whitening.axes.norm(dim=0)[2:].tolist() == [0.0, 0.0]


def test_pca_turns_to_the_same_axes_and_keeps_their_spread():
    torch.manual_seed(0)
    x = torch.randn(4000, 3) * torch.tensor([1.0, 10.0, 3.0]) + 7
    pca = Whitening(3, 2, scaled=False)
    pca.fit(x)
    # Of a sample the axes are a little turned, so the spread on them is compared with that of its covariance.
    kept = np.linalg.eigvalsh(np.cov(x.double().numpy().T, bias=True))[:0:-1]
    spread = pca(x).double().var(dim=0, unbiased=False).numpy()
    np.testing.assert_allclose(spread / spread.sum(), kept / kept.sum(), rtol=1e-5)
    assert spread.mean() == pytest.approx(1, rel=1e-5)  # as large as whitened vectors are


def test_text_and_id_adds_no_table_row_for_an_item_training_never_saw():
    in_training = torch.tensor([True, True, False])
    options = ModelOptions(input_type="text+id", sasrec_hidden_size=8)
    items = ItemVectors(options, in_training, torch.randn(3, 5))
    items.fit_whitening()
    text = items.projection(items.text)
    vectors = items()
    torch.testing.assert_close(vectors[2], text[2])
    torch.testing.assert_close(vectors[:2], text[:2] + items.table.weight[:2])


def test_plm_vectors_are_neither_trained_nor_saved():
    items = ItemVectors(
        ModelOptions(input_type="text", whitening=3), torch.ones(9, dtype=torch.bool), torch.randn(9, 5)
    )
    assert "text" not in items.state_dict()
    assert not items.text.requires_grad
    assert {name.split(".")[0] for name in items.state_dict()} == {"projection", "whitening"}
