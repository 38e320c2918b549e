import os
from pathlib import Path

import pytest
from prepared import Notes, histories

from plmrs.cli import main
from plmrs.config import PrepareConfig
from plmrs.data.dataset import open_dataset
from plmrs.errors import UserError
from plmrs.prepare import command
from plmrs.prepare.command import prepare
from plmrs.report import Silent
from plmrs.workspace import lock, read_json

ITEMS = "item_id,text,category\nB,bee,x\nA,ay,y\nblank,  ,y\nC,see,x\nD,dee,y\n"
# v's rows come first; u's times are out of order, with a tie that row order decides.
TAKEN = """\
user_id,item_id,timestamp
v,A,9
u,B,5
u,A,7
u,C,5
v,lost,10
v,blank,11
v,B,12
v,C,13
u,A,7
w,A,1
w,B,2
"""


class Job:
    """Prepares the small tables, with options."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.notes = folder, Notes()
        self.write(ITEMS, TAKEN)

    def write(self, items: str, taken: str) -> None:
        (self.folder / "items.csv").write_text(items)
        (self.folder / "taken.csv").write_text(taken)

    def run(self, **options):
        values = {"root": self.folder / "data", "min_item_seq_len": 3, **options}
        values = {"items": self.folder / "items.csv", "interactions": self.folder / "taken.csv", **values}
        tables = prepare("small", PrepareConfig.from_flat(values, {"min_item_seq_len": "flag"}), self.notes)
        self.dataset = open_dataset(PrepareConfig.from_flat(values).workspace.open(), "small")
        return tables


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_items_users_and_order(job: Job):
    job.run()
    assert job.dataset.item_ids() == ["B", "A", "C", "D"]
    assert job.dataset.texts() == ["bee", "ay", "see", "dee"]
    assert job.dataset.categories() == ["x", "y", "x", "y"]
    assert list(histories(job.dataset).items()) == [("v", ["A", "B", "C"]), ("u", ["B", "C", "A", "A"])]
    assert job.dataset.times.tolist() == [9, 12, 13, 5, 5, 7, 7]
    assert job.dataset._items.column("count").to_pylist() == [2, 3, 2, 0]


def test_the_account_adds_up(job: Job):
    account, summary = job.run()
    rows = {(row[0], row[2], row[3]): row[1] for row in account.rows}
    assert rows == {
        ("read", "items", "items.csv"): 5,
        ("read", "interactions", "taken.csv"): 11,
        ("dropped", "items", "they have no text"): 1,
        ("dropped", "interactions", "their item is not in the item table"): 1,
        ("dropped", "interactions", "their item has no text"): 1,
        ("dropped", "users", "they have fewer than 3 items"): 1,
        ("dropped", "interactions", "they are of those users"): 2,
        ("kept", "items", ""): 4,
        ("kept", "users", ""): 2,
        ("kept", "interactions", ""): 7,
    }
    facts = dict(summary.rows)
    # Trained on: A of v, B and C of u.
    assert (facts["items nobody took"], facts["items never in training"]) == (1, 1)
    assert facts["density"] == "87.500%"
    assert facts["users in training"] == 2
    assert facts["test targets"] == "2, 0 (0.0%) of items never in training"
    assert "Times: timestamp, as in the file." in summary.notes


def test_long_histories_keep_their_most_recent_items(job: Job):
    job.write(ITEMS, TAKEN + "u,D,1\nu,D,3\nu,B,8\n")
    account, _ = job.run(max_item_seq_len=4)
    assert histories(job.dataset) == {"v": ["A", "B", "C"], "u": ["C", "A", "A", "B"]}
    assert ["dropped", 3, "interactions", "they are older than their user's last 4"] in account.rows


def test_leave_one_out_needs_three_items_whatever_is_asked(job: Job):
    job.run(min_item_seq_len=1)
    assert set(histories(job.dataset)) == {"u", "v"}


def test_without_times_rows_are_the_order(job: Job):
    job.write(ITEMS, "user_id,item_id\nu,C\nv,A\nu,lost\nu,A\nu,B\nv,B\nv,C\nu,D\n")
    job.run()
    assert histories(job.dataset) == {"u": ["C", "A", "B", "D"], "v": ["A", "B", "C"]}
    assert job.dataset.times.tolist() == [0, 3, 4, 7, 1, 5, 6]
    assert job.dataset.manifest["has_times"] is False
    assert job.dataset.manifest["time_unit"] == "row in the file"


def test_fractions_of_seconds_decide_the_order_and_are_cut_off(job: Job):
    job.write(ITEMS, "user_id,item_id,time\nu,A,5.9\nu,B,5.1\nu,C,5\nu,D,-0.5\nu,A,1e1\n")
    job.run()
    assert histories(job.dataset) == {"u": ["D", "C", "B", "A", "A"]}
    assert job.dataset.times.tolist() == [-1, 5, 5, 5, 10]


def test_large_times_are_kept_to_the_unit(job: Job):
    nanoseconds = [1_577_836_800_000_000_003, 1_577_836_800_000_000_001, 1_577_836_800_000_000_002]
    rows = "".join(f"u,{item},{time}\n" for item, time in zip("ABC", nanoseconds, strict=True))
    job.write(ITEMS, f"user_id,item_id,time\n{rows}u,D,{2**60}\n")
    job.run()
    assert histories(job.dataset) == {"u": ["D", "B", "C", "A"]}
    assert job.dataset.times.tolist() == [2**60, *sorted(nanoseconds)]


def test_ids_keep_their_leading_zeros_to_the_end(job: Job):
    rows = "".join(f"0{user},010877501{item},2024-01-0{item}\n" for user in range(3) for item in range(1, 6))
    items = "".join(f"010877501{item},Strap top {item}\n" for item in range(1, 6))
    job.write(f"article_id,text\n{items}108775011,other\n", f"customer_id,article_id,t_dat\n{rows}")
    job.run()
    assert job.dataset.item_ids() == [*(f"010877501{item}" for item in range(1, 6)), "108775011"]
    assert job.dataset.user_ids() == ["00", "01", "02"]
    assert job.dataset.times[:2].tolist() == [1704067200, 1704153600]
    assert (job.dataset.manifest["has_times"], job.dataset.manifest["time_unit"]) == (
        True,
        "seconds since 1970-01-01 UTC",
    )


def test_the_manifest_says_what_was_done(job: Job):
    job.run()
    manifest = job.dataset.manifest
    assert [file["path"] for file in manifest["sources"]] == [
        str(job.folder / "items.csv"),
        str(job.folder / "taken.csv"),
    ]
    assert all(len(file["sha256"]) == 64 for file in manifest["sources"])
    assert manifest["options"]["min_item_seq_len"] == 3
    assert manifest["origins"] == {"min_item_seq_len": "flag"}
    assert (manifest["name"], manifest["source"]) == ("small", "small")
    assert manifest["split"] == {"method": "leave_one_out"}
    assert (manifest["has_times"], manifest["time_unit"]) == (True, "timestamp, as in the file")
    assert manifest["counts"]["users"] == 2
    assert manifest["effective"]["columns"]["time"] == "timestamp"
    assert len(manifest["rules"]) > 5
    assert all(rule.endswith(".") for rule in manifest["rules"])
    assert {"what": "users", "count": 1, "why": "they have fewer than 3 items"} in manifest["dropped"]


def test_two_runs_write_the_same_bytes_and_say_so(job: Job):
    job.run()
    folder = job.dataset.folder
    before = {file: (folder / file).read_bytes() for file in ("items.feather", "histories.feather")}
    old = job.dataset
    job.run()
    assert before == {file: (folder / file).read_bytes() for file in before}
    assert (job.dataset.fingerprint, job.dataset.texts_fingerprint) == (old.fingerprint, old.texts_fingerprint)
    assert job.notes.lines[-1] == "small is prepared already with this very content; made again."


def test_what_differs_is_told_before_it_is_replaced(job: Job):
    job.run()
    old = job.dataset
    job.run(min_item_seq_len=4)
    assert job.notes.lines[-1] == "warning: Replaces small prepared with min_item_seq_len 3 (now 4)."
    assert job.dataset.fingerprint != old.fingerprint
    assert job.dataset.texts_fingerprint == old.texts_fingerprint
    job.write(ITEMS, TAKEN + "\n")
    job.run(min_item_seq_len=4)
    assert job.notes.lines[-1] == "warning: Replaces small prepared with other raw files."


def test_a_changed_text_changes_both_fingerprints(job: Job):
    job.run()
    old = job.dataset
    job.write(ITEMS.replace("dee", "bee"), TAKEN)
    job.run()
    assert job.dataset.texts_fingerprint != old.texts_fingerprint
    assert job.dataset.fingerprint != old.fingerprint


@pytest.mark.parametrize("before", [False, True])
def test_a_run_that_dies_leaves_nothing_new(job: Job, monkeypatch: pytest.MonkeyPatch, before: bool):
    if before:
        job.run()
    prepared = job.folder / "data" / "prepared"

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command, "write_histories", full_disk)
    with pytest.raises(OSError, match="No space left"):
        job.run(min_item_seq_len=4)
    assert [path.name for path in prepared.iterdir() if path.is_dir()] == ["small"] * before
    if before:
        assert read_json(prepared / "small" / "manifest.json")["options"]["min_item_seq_len"] == 3


def test_two_at_once_are_refused(job: Job):
    folder = job.folder / "data" / "prepared" / "small"
    with lock(folder, "testing"), pytest.raises(UserError, match="Another plmrs process is preparing small"):
        job.run()


@pytest.mark.parametrize(
    ("taken", "options", "said", "remedy"),
    [
        (TAKEN, {"min_item_seq_len": 9}, "9 items or more; the longest history has 4.", "--min-item-seq-len"),
        (TAKEN, {"k_core": 4}, "No user is left in the core of 4.", "Lower --k-core."),
        (TAKEN, {"sample_users": 3}, "--sample-users 3: there are 2 users with enough items.", "Ask for fewer."),
        (TAKEN, {"drop_repeats": "all", "min_item_seq_len": 4}, "4 items or more; the longest history has 3.", "to 3"),
        ("user_id,item_id\n,A\n", {}, "ids such as B, they have none", "--item-column"),
        ("user_id,item_id\nu,0A\n", {}, "ids such as B, they have 0A", "--item-column"),
        (TAKEN, {"text_fields": ("category",), "category_column": "txet"}, "no column txet", "Did you mean text?"),
        (TAKEN, {"items": None}, "--interactions is given without --items", "both"),
    ],
)  # fmt: skip
def test_errors(job: Job, taken: str, options: dict, said: str, remedy: str):
    job.write(ITEMS, taken)
    with pytest.raises(UserError) as caught:
        job.run(**options)
    assert said in caught.value.message
    assert remedy in caught.value.remedy
    assert not (job.folder / "data" / "prepared" / "small").exists()


@pytest.mark.parametrize(("split", "least"), [("leave_one_out", 4), ("ratio", 2), ("temporal", 2)])
def test_histories_too_short_to_train_on_are_refused_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str, least: int
):
    items, taken = tmp_path / "items.csv", tmp_path / "taken.csv"
    line = ["prepare", "small", "--root", str(tmp_path / "data"), "--items", str(items), "--interactions", str(taken)]
    line += ["--split", split, "--split-times", "2,3", "--min-item-seq-len", "2", "--max-item-seq-len"]
    # The tables are not there yet.
    assert main([*line, str(least - 1)]) == 2
    assert capsys.readouterr().err.strip().splitlines() == [
        f"Error: --max-item-seq-len {least - 1} leaves nothing to train on: {split} needs {least} items of a user.",
        f"Give at least {least}, or None to keep whole histories.",
    ]
    assert not (tmp_path / "data").exists()
    items.write_text(ITEMS)
    long = "".join(f"u{user},{item},{time}\n" for user in range(20) for time, item in enumerate("ABCD"))
    taken.write_text(f"user_id,item_id,timestamp\nv,A,0\nv,B,1\nw,A,1\nw,C,2\n{long}")
    assert main([*line, str(least)]) == 0


@pytest.mark.parametrize(
    ("name", "said", "remedy"),
    [
        (None, "Which data set?", "plmrs prepare demo"),
        ("MIND_smal", "no data set MIND_smal", "Did you mean MIND_small?"),
        ("Demo", "no data set Demo", "Did you mean demo?"),
        ("zzz", "no data set zzz", "For your own tables: --items FILE --interactions FILE."),
        ("../x", "cannot be the name of a folder", "letters"),
        ("hm", "raw/hm and", "https://www.kaggle.com"),
        ("", "cannot be the name of a folder", "letters"),
        ("a.partial-b", "cannot be the name of a folder", "letters"),
        ("MIND_small", "raw/MIND_small and", "https://msnews.github.io"),
    ],
)
def test_names_of_sources(tmp_path: Path, name: str | None, said: str, remedy: str):
    with pytest.raises(UserError) as caught:
        prepare(name, PrepareConfig.from_flat({"root": tmp_path / "data"}), Silent())
    assert said in caught.value.message.replace(os.sep, "/")
    assert remedy in caught.value.remedy
    assert not (tmp_path / "data").exists()
