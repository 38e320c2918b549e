import pytest
import torch

from plmrs.config import ModelOptions
from plmrs.model.sasrec import SASRec

OPTIONS = ModelOptions(sasrec_seq_len=6, sasrec_hidden_size=8, sasrec_inner_size=16)


@pytest.fixture
def sasrec() -> SASRec:
    torch.manual_seed(0)
    model = SASRec(OPTIONS)
    for parameter in model.parameters():  # away from the small initial values, so that a leak would show
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


def test_a_state_depends_on_no_later_item(sasrec):
    x = torch.randn(2, 6, 8)
    changed = x.clone()
    changed[:, 4:] = torch.randn(2, 2, 8)
    torch.testing.assert_close(sasrec(x)[:, :4], sasrec(changed)[:, :4])
    assert not torch.allclose(sasrec(x)[:, 4:], sasrec(changed)[:, 4:])


def test_padding_to_the_right_changes_no_real_state(sasrec):
    x = torch.randn(3, 4, 8)
    padded = torch.cat([x, torch.randn(3, 2, 8)], dim=1)
    torch.testing.assert_close(sasrec(padded)[:, :4], sasrec(x))


def test_equals_a_block_by_block_computation_in_plain_attention(sasrec):
    x = torch.randn(2, 5, 8)
    h = sasrec.norm(x + sasrec.positions.weight[:5])
    for block in sasrec.blocks:
        q, k, v = block.qkv(h).chunk(3, dim=-1)
        heads = []
        for part in range(2):
            columns = slice(4 * part, 4 * part + 4)
            weights = q[..., columns] @ k[..., columns].transpose(1, 2) / 4**0.5
            weights = weights.masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf).softmax(-1)
            heads.append(weights @ v[..., columns])
        h = block.attention_norm(h + block.out(torch.cat(heads, -1)))
        h = block.feed_forward_norm(h + block.outer(torch.nn.functional.gelu(block.inner(h))))
    torch.testing.assert_close(sasrec(x), h)


def test_order_matters(sasrec):
    x = torch.randn(1, 4, 8)
    swapped = x[:, [1, 0, 2, 3]]
    assert not torch.allclose(sasrec(x)[:, 3], sasrec(swapped)[:, 3])
