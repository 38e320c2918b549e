import math

import pytest
import torch
from gradients import assert_same, drawn, gradients
from torch.nn import functional as F  # noqa: N812

from plmrs.model import losses
from plmrs.model.losses import binary_loss, full_cross_entropy, gbce_beta, softmax_loss


@pytest.fixture
def small_chunks(monkeypatch):
    """37 positions make three chunks of 16 with 50 candidates."""
    monkeypatch.setattr(losses, "FEWEST_ROWS", 4)
    monkeypatch.setattr(losses, "CHUNK_BYTES", 4 * 50 * 16)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("scale", [1.0, 40.0])
@pytest.mark.parametrize("positions", [1, 15, 16, 17, 32, 37])
def test_full_cross_entropy_equals_torchs(scale, positions):
    torch.manual_seed(0)
    states = (torch.randn(positions, 8) * scale).requires_grad_()
    items = torch.randn(50, 8, requires_grad=True)
    targets = torch.randint(0, 50, (positions,))
    naive = F.cross_entropy(states @ items.T, targets)
    assert_same(full_cross_entropy(states, items, targets), naive, (states, items))


def test_a_target_whose_probability_underflows_has_a_finite_loss():
    states, items = torch.tensor([[200.0]]), torch.tensor([[1.0], [-1.0]])
    assert full_cross_entropy(states, items, torch.tensor([1])).item() == pytest.approx(400.0)


def in_batch(positions=37, users=6, n=50, device="cpu"):
    """Positions of users in no order, candidates with repeats, some users' targets among what they exclude."""
    torch.manual_seed(1)
    queries = torch.randn(positions, 8, device=device, requires_grad=True)
    candidates = torch.randn(n // 2, 8, device=device, requires_grad=True)
    repeated = torch.cat([candidates, candidates])  # candidate j + 25 is candidate j
    log_q = torch.randn(n, device=device)
    user = torch.randint(0, users, (positions,), device=device)
    excluded = torch.rand(users, n, device=device) < 0.3
    excluded[:, n // 2 :] |= torch.rand(n // 2, device=device) < 0.8
    targets = torch.randint(0, n, (positions,), device=device)
    return (queries, candidates), (queries, repeated, targets, log_q, user, excluded)


def naive_softmax(queries, candidates, targets, log_q, user, excluded):
    """Position by position, over a list of those candidates that are left."""
    total = 0
    for query, target, row in zip(queries, targets.tolist(), user.tolist(), strict=True):
        left = [j for j in range(len(candidates)) if j == target or not excluded[row, j]]
        logits = torch.stack([(query * candidates[j]).sum() - log_q[j] for j in left])
        total = total + torch.logsumexp(logits, 0) - logits[left.index(target)]
    return total / len(targets)


@pytest.mark.usefixtures("small_chunks")
def test_softmax_loss_equals_a_loop_over_positions():
    leaves, arguments = in_batch()
    assert arguments[-1][arguments[-2], arguments[2]].any()  # targets that their users exclude
    assert_same(softmax_loss(*arguments), naive_softmax(*arguments), leaves)


@pytest.mark.usefixtures("small_chunks")
def test_each_correction_alone():
    leaves, (queries, candidates, targets, log_q, user, excluded) = in_batch()
    nothing, none_left_out = torch.zeros_like(log_q), torch.zeros_like(excluded)
    naive = naive_softmax(queries, candidates, targets, log_q, user, none_left_out)
    assert_same(softmax_loss(queries, candidates, targets, log_q), naive, leaves)
    naive = naive_softmax(queries, candidates, targets, nothing, user, excluded)
    assert_same(softmax_loss(queries, candidates, targets, None, user, excluded), naive, leaves)


def test_softmax_loss_by_hand():
    # Logits 1, 0, 2 less log q of 0, 0, log 2; the third is user 1's own, and the target of user 1's second position.
    queries, candidates = torch.tensor([[1.0], [1.0], [1.0]]), torch.tensor([[1.0], [0.0], [2.0]])
    log_q = torch.tensor([0.0, 0.0, math.log(2)])
    user, excluded = torch.tensor([0, 1, 1]), torch.tensor([[False] * 3, [False, False, True]])
    e = math.e
    wanted = (math.log(e + 1 + e**2 / 2) - 1) + (math.log(e + 1) - 1) + (math.log(e + 1 + e**2 / 2) - 2 + math.log(2))
    found = softmax_loss(queries, candidates, torch.tensor([0, 0, 2]), log_q, user, excluded)
    assert found.item() == pytest.approx(wanted / 3)


def test_what_is_excluded_gets_no_gradient_and_a_lone_target_no_loss():
    queries, candidates = torch.ones(1, 2), torch.ones(3, 2, requires_grad=True)
    only_target = torch.tensor([[True, True, True]])
    loss = softmax_loss(queries, candidates, torch.tensor([1]), None, torch.tensor([0]), only_target)
    assert loss.item() == 0
    assert not gradients(loss, candidates)[0].any()


def test_the_log_q_of_all_shifts_nothing_and_the_mask_is_left_as_it_is():
    _, (queries, candidates, targets, log_q, user, excluded) = in_batch()
    before = excluded.clone()
    one = softmax_loss(queries, candidates, targets, log_q, user, excluded)
    torch.testing.assert_close(one, softmax_loss(queries, candidates, targets, log_q + 5, user, excluded))
    assert torch.equal(excluded, before)


def naive_binary(queries, candidates, targets, negatives, beta):
    score = (queries * candidates[targets]).sum(-1)
    scores = torch.einsum("ph,pnh->pn", queries, candidates[negatives])
    losses_ = -beta * torch.sigmoid(score).log() - (1 - torch.sigmoid(scores)).log().sum(1)
    return (losses_ / (negatives.shape[1] + 1)).mean()


@pytest.mark.parametrize("n", [1, 7, 40])
@pytest.mark.parametrize("beta", [1.0, 0.3])
@pytest.mark.parametrize("positions", [1, 3, 20])
def test_binary_loss_equals_autograd(monkeypatch, n, beta, positions):
    monkeypatch.setattr(losses, "CHUNK_BYTES", 4 * 8 * 7 * 3)  # 21 positions a chunk, or 3, or 1
    arguments = drawn(positions, n)
    assert_same(binary_loss(*arguments, beta), naive_binary(*arguments, beta), arguments[:2])


def test_with_one_negative_it_is_half_of_sasrecs_bce():
    queries, candidates, targets, negatives = drawn(9, 1)
    positive, negative = ((queries * candidates[rows]).sum(1) for rows in (targets, negatives[:, 0]))
    bce = F.binary_cross_entropy_with_logits
    sasrec = bce(positive, torch.ones(9)) + bce(negative, torch.zeros(9))
    torch.testing.assert_close(2 * binary_loss(queries, candidates, targets, negatives), sasrec)


def test_binary_loss_is_finite_far_from_zero():
    queries, candidates = torch.tensor([[300.0]]), torch.tensor([[-1.0], [1.0]])
    assert binary_loss(queries, candidates, torch.tensor([0]), torch.tensor([[1]])).item() == pytest.approx(300.0)


def test_beta_is_the_papers():
    # alpha · (t · (1 - 1 / alpha) + 1 / alpha), alpha the share of the other items that are drawn
    alpha = 256 / 3415
    wanted = alpha * (0.75 * (1 - 1 / alpha) + 1 / alpha)
    assert gbce_beta(256, 3416, 0.75) == pytest.approx(wanted)
    assert gbce_beta(256, 3416, 0.0) == 1
    assert gbce_beta(256, 3416, 1.0) == pytest.approx(alpha)
    assert gbce_beta(300, 200, 0.75) == 1
    assert gbce_beta(1, 1, 0.75) > 0


def test_positions_without_any_are_no_loss():
    none, candidates, no_targets = torch.zeros(0, 8), torch.randn(5, 8), torch.zeros(0, dtype=torch.long)
    assert full_cross_entropy(none, candidates, no_targets).item() == 0
    assert binary_loss(none, candidates, no_targets, torch.zeros(0, 3, dtype=torch.long)).item() == 0


def test_autocast_changes_nothing():
    _, softmax = in_batch()
    binary = drawn(20, 7)
    plain = softmax_loss(*softmax), binary_loss(*binary)
    with torch.autocast("cpu", torch.bfloat16):
        under = softmax_loss(*softmax), binary_loss(*binary)
    assert under == plain
    assert [loss.dtype for loss in under] == [torch.float32, torch.float32]


def test_what_arrives_in_bfloat16_gets_its_gradient_in_bfloat16():
    _, (queries, candidates, targets, *rest) = in_batch()
    half = queries.detach().bfloat16().requires_grad_(), candidates.detach().bfloat16().requires_grad_()
    found = gradients(softmax_loss(*half, targets, *rest), *half)
    assert [gradient.dtype for gradient in found] == [torch.bfloat16, torch.bfloat16]


def largest_allocation(step):
    """Bytes of the largest tensor that comes into being."""
    with torch.profiler.profile(profile_memory=True) as profile:
        step()
    return max(event.cpu_memory_usage for event in profile.events())


@pytest.mark.parametrize("masked", [False, True])
def test_softmax_holds_no_positions_by_candidates_tensor(masked):
    positions, n, users = 1_500, 20_000, 8
    queries, candidates = torch.randn(positions, 4, requires_grad=True), torch.randn(n, 4, requires_grad=True)
    targets, user = torch.randint(0, n, (positions,)), torch.arange(positions) % users
    rest = (torch.zeros(n), user, torch.zeros(users, n, dtype=torch.bool)) if masked else ()
    largest = largest_allocation(lambda: softmax_loss(queries, candidates, targets, *rest).backward())
    assert largest <= 2 * losses.CHUNK_BYTES < 4 * positions * n / 10


def test_binary_holds_no_positions_by_negatives_by_width_tensor():
    positions, n, width = 2_000, 64, 64
    queries, candidates = torch.randn(positions, width, requires_grad=True), torch.randn(100, width, requires_grad=True)
    targets, negatives = torch.randint(0, 100, (positions,)), torch.randint(0, 100, (positions, n))
    largest = largest_allocation(lambda: binary_loss(queries, candidates, targets, negatives).backward())
    assert largest <= 2 * losses.CHUNK_BYTES < 4 * positions * n * width / 3


@pytest.mark.gpu
@pytest.mark.usefixtures("small_chunks")
def test_the_same_on_a_gpu():
    leaves, arguments = in_batch(device="cuda")
    assert_same(softmax_loss(*arguments), naive_softmax(*arguments), leaves)
    queries, candidates, targets, negatives = drawn(20, 7, "cuda")
    naive = naive_binary(queries, candidates, targets, negatives, 0.3)
    assert_same(binary_loss(queries, candidates, targets, negatives, 0.3), naive, (queries, candidates))
