"""Several machines on one folder, here several processes that are told they are."""

import time
from pathlib import Path
from typing import Any

import pytest
from jobs import caches, chunks, encode, settings, work
from listening import Listening

from plmrs.cache.integrity import verify
from plmrs.config import NodeOptions
from plmrs.data.dataset import Dataset
from plmrs.errors import UserError
from plmrs.plm.checkpoint import find_plm
from plmrs.preinfer import nodes
from plmrs.preinfer.nodes import Node, this_node, wait_for
from plmrs.preinfer.plan import COPIES, sizes
from plmrs.report import Silent

SBATCH = {"SLURM_NNODES": "4", "SLURM_JOB_NUM_NODES": "4", "SLURM_NODEID": "0", "SLURM_PROCID": "0"}
"""As SLURM sets them for a batch script, which runs on the first node alone."""
SLURM = {**SBATCH, "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_NODES": "4", "SLURM_NODEID": "2", "SLURM_PROCID": "2"}
"""As srun sets them on the third node."""
TORCHRUN = {"GROUP_WORLD_SIZE": "3", "GROUP_RANK": "1"}


@pytest.mark.parametrize(
    ("options", "environment", "expected"),
    [
        ({}, {}, Node(0, 1)),
        ({"num_nodes": 2, "node_rank": 1}, {}, Node(1, 2)),
        ({"num_nodes": 1}, {}, Node(0, 1)),
        ({}, SLURM, Node(2, 4)),
        ({}, TORCHRUN, Node(1, 3)),
        ({}, {**SLURM, **TORCHRUN}, Node(2, 4)),
        ({"num_nodes": 2, "node_rank": 0}, SLURM, Node(0, 2)),
        ({"num_nodes": 1}, SLURM, Node(0, 1)),
        ({}, SBATCH, Node(0, 1)),
        ({}, {**SLURM, "SLURM_STEP_NUM_NODES": "1", "SLURM_NODEID": "0"}, Node(0, 1)),
        ({}, {**SLURM, "SLURM_STEP_NUM_NODES": "2", "SLURM_NODEID": "1"}, Node(1, 2)),
        ({}, {**SBATCH, **TORCHRUN}, Node(1, 3)),
        ({}, {"SLURM_NNODES": "2-4", "SLURM_NODEID": "0"}, Node(0, 1)),
    ],
)
def test_which_machine_this_is(options: dict[str, int], environment: dict[str, str], expected: Node) -> None:
    assert this_node(NodeOptions(**options), Silent(), environment) == expected


def test_a_batch_script_without_srun_is_told_that_it_works_alone() -> None:
    told = "Works on this node alone of SLURM's 4: start it with `srun` to use all."
    for environment, lines in ((SBATCH, [told]), ({**SBATCH, "SLURM_JOB_NUM_NODES": "1"}, []), (SLURM, []), ({}, [])):
        progress = Listening()
        this_node(NodeOptions(), progress, environment)
        assert progress.lines == lines
    progress = Listening()
    this_node(NodeOptions(num_nodes=4, node_rank=0), progress, SBATCH)
    assert progress.lines == []


@pytest.mark.parametrize(
    ("options", "environment", "says"),
    [
        ({"node_rank": 1}, {}, "--node-rank 1 is given without --num-nodes"),
        ({"num_nodes": 2}, {}, "--num-nodes 2 is given without --node-rank"),
        ({"num_nodes": 2, "node_rank": 2}, {}, "--node-rank 2 is not below --num-nodes 2"),
        ({}, {"SLURM_STEP_NUM_NODES": "2", "SLURM_NODEID": "2"}, "--node-rank 2 is not below --num-nodes 2"),
    ],
)
def test_wrong_ranks_are_refused(options: dict[str, int], environment: dict[str, str], says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        this_node(NodeOptions(**options), Silent(), environment)
    assert caught.value.remedy


def test_wrong_ranks_leave_nothing(workspace_of: Any, few: Dataset, opt: Path) -> None:
    workspace = workspace_of(few)
    with pytest.raises(UserError, match="--node-rank 3"):
        encode(workspace, opt, num_nodes=3, node_rank=3)
    assert not (workspace.root / "cache").exists()


def test_units_are_shared_out() -> None:
    units = [0, 1, 4, 5, 9]
    shares = [Node(rank, 3).own(units) for rank in range(3)]
    assert shares == [[0, 9], [1, 4], [5]]
    assert Node(0, 1).own(units) == units


def test_waiting_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "SECONDS", 0.001)
    progress = Listening()
    wait_for(lambda: 0, "units", progress)
    assert progress.lines == []
    left = iter([5, 5, 3, 1])
    wait_for(lambda: next(left, 0), "units", progress)
    assert progress.lines == ["Waiting for the other machines: 5 units are left."]


@pytest.mark.parametrize("memories", [(None, None), ("two blocks", "a block")])
def test_two_machines_fill_one_cache(
    workspace_of: Any, many: Dataset, opt: Path, forked: Any, memories: tuple[str | None, str | None]
) -> None:
    alone = encode(workspace_of(many, "alone"), opt)
    of = sizes(find_plm(str(opt)), "32", alone.texts.length, alone.layout)
    at_work = of.activations + COPIES * of.unit
    bytes_of = {
        None: None,
        "a block": str(at_work + max(of.embeddings, of.block + of.norm)),
        "two blocks": str(at_work + max(of.embeddings, 2 * of.block + of.norm)),
    }
    workspace = workspace_of(many, "shared")
    both = [
        forked(work, settings(workspace, opt, num_nodes=2, node_rank=rank, max_memory=bytes_of[memory]))
        for rank, memory in enumerate(memories)
    ]
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert caches(workspace) == ["final"]
    (found,) = (workspace.root / "cache").glob("*/*/*.zarr")
    assert found.name == alone.path.name
    progress = Listening()
    shared = encode(workspace, opt, progress)
    assert f"The cache {found} is complete; nothing is left to do." in progress.lines
    assert chunks(shared) == chunks(alone)
    assert verify(shared) == []


def test_a_machine_does_its_share_alone_and_waits(
    workspace_of: Any, many: Dataset, opt: Path, forked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One begins before the other and ends after it, and counts what the other did when all is done."""
    monkeypatch.setattr(nodes, "SECONDS", 0.05)
    alone = encode(workspace_of(many, "alone"), opt)
    workspace = workspace_of(many, "shared")
    first = forked(work, settings(workspace, opt, num_nodes=2, node_rank=1))
    path = workspace.root / "cache" / "many" / alone.path.parent.name / alone.path.name
    odd = {f"{unit}.json" for unit in range(1, alone.n_units, 2)}
    limit = time.monotonic() + 60
    while {file.name for file in path.glob("done/[0-9]*.json")} != odd:
        assert time.monotonic() < limit
        time.sleep(0.05)
    first.join(0.5)
    assert first.exitcode is None
    progress = Listening()
    made = encode(workspace, opt, progress, num_nodes=2, node_rank=0)
    first.join(30)
    assert first.exitcode == 0
    assert progress.advanced == 2000
    assert chunks(made) == chunks(alone)
