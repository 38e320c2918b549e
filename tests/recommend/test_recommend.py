"""Recommendations beside scores computed in plain numpy, by way of files, of Python and of the terminal."""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from odd_ids import IDS, ITEMS, NEW, TEXTS, USERS, user_id

import plmrs
from plmrs.config import RecommendConfig
from plmrs.errors import UserError
from plmrs.recommend import trained as module
from plmrs.recommend.command import recommend
from plmrs.recommend.trained import TrainedModel
from plmrs.report import Silent, Table
from plmrs.workspace import Workspace

Trained = Callable[..., TrainedModel]


@pytest.fixture(scope="module")
def model(trained: Trained) -> TrainedModel:
    return trained("text")


@pytest.fixture(scope="module")
def whole(model: TrainedModel) -> pd.DataFrame:
    return model.recommend()


def run(workspace: Workspace, **options: object) -> list[Table]:
    places = {"root": workspace.root, "runs": workspace.runs, "accelerator": "cpu"}
    return recommend("text", RecommendConfig.from_flat({**places, **options}), Silent())


def histories(model: TrainedModel) -> dict[str, list[str]]:
    taken = model.dataset.histories
    ids = np.array(model.dataset.item_ids())
    users = zip(model.dataset.user_ids(), taken.start, taken.stop, strict=True)
    return {user: ids[taken.items[start:stop] - 1].tolist() for user, start, stop in users}


def test_they_are_the_best_of_the_saved_models_scores(model, whole):
    vectors = model.model.items().detach()
    unit = (vectors / vectors.norm(dim=1, keepdim=True)).numpy()
    place = {item: row for row, item in enumerate(model.dataset.item_ids())}
    scale = float(model.model.log_scale.detach().exp())
    for user, history in list(histories(model).items())[::23]:
        rows = [place[item] for item in history]
        state = model.model.sasrec(vectors[rows[-6:]][None])[0, -1].detach().numpy()
        scores = unit @ (state / np.linalg.norm(state)) * scale
        scores[rows] = -np.inf
        best = np.argsort(-scores)[:10]
        found = whole[whole.user == user]
        assert found.item.tolist() == [IDS[row] for row in best]
        assert found.text.tolist() == [TEXTS[row] for row in best]
        assert found["rank"].tolist() == list(range(1, 11))
        np.testing.assert_allclose(found.score, scores[best], rtol=1e-4)


def test_ids_come_out_as_they_went_in(whole):
    assert list(whole.columns) == ["user", "rank", "item", "score", "text"]
    assert set(whole.user) == {user_id(user) for user in range(USERS)}
    assert set(whole.item) <= set(IDS)
    assert {item[0] for item in whole.item} >= {"0", "a", "é", "x", '"'}


def test_what_nobody_took_is_recommended_by_its_text(whole):
    assert set(IDS[-NEW:]) & set(whole.item)


def test_a_history_gives_what_the_user_gets(model, whole):
    taken = histories(model)
    for user in [user_id(0), user_id(1), user_id(256), user_id(USERS - 1)]:
        alone = model.recommend(histories={user: taken[user]})
        pd.testing.assert_frame_equal(alone, whole[whole.user == user].reset_index(drop=True), check_exact=True)
    many = model.recommend(histories=list(taken.values()))
    pd.testing.assert_frame_equal(many.drop(columns="user"), whole.drop(columns="user"), check_exact=True)
    assert many.user.tolist() == np.repeat(np.arange(USERS), 10).tolist()


def test_users_come_in_the_order_asked_for(model, whole):
    some = model.recommend(users=[user_id(7), user_id(3), user_id(7)], k=2)
    assert some.user.tolist() == [user_id(7)] * 2 + [user_id(3)] * 2 + [user_id(7)] * 2
    assert some.item.tolist()[2:4] == whole[whole.user == user_id(3)].item.tolist()[:2]


def test_a_stream_of_small_portions_is_the_same(model, whole, monkeypatch):
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 1000)
    monkeypatch.setattr("plmrs.model.ranking.COLUMNS", 16)
    portions = list(model.stream(memory=1))
    assert len(portions) == 2
    pieces = pd.concat(portions, ignore_index=True)
    assert pieces.item.tolist() == whole.item.tolist()
    np.testing.assert_allclose(pieces.score, whole.score, rtol=1e-5)


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_files_hold_what_python_gives(workspace, model, whole, tmp_path, monkeypatch, ending):
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 1000)
    path = tmp_path / "new" / f"out.{ending}"
    (table,) = run(workspace, output=path)
    assert ["users", USERS] in [list(row) for row in table.rows]
    if ending == "parquet":
        found = pd.read_parquet(path)
    elif ending == "csv":
        found = pd.read_csv(path, dtype={"user": str, "item": str, "text": str}, keep_default_na=False)
    else:
        found = pd.DataFrame([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()])
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    for name in ("user", "rank", "item", "text"):
        assert found[name].tolist() == whole[name].tolist()
    assert found.score.astype(np.float32).tolist() == whole.score.tolist()


def test_two_processes_write_what_one_does(workspace, model, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 1000)
    (table,) = run(workspace, output=tmp_path / "out.parquet", devices="0 1", memory="4MiB")
    assert ["rows", len(whole)] in [list(row) for row in table.rows]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), whole, check_exact=True)


@pytest.mark.parametrize("users", [200, 4 * 256, 5 * 256 + 3])
def test_any_number_of_processes_recommends_the_same(quick_processes, model, monkeypatch, users):
    """Four processes for one block of 256 users, for one each, and for six."""
    ids = [user_id(7 * user % USERS) for user in range(users)]
    asked = {"users": ids, "candidates": IDS[::2], "mask_seen": False, "k": 50}
    alone = model.recommend(**asked)
    assert alone.user.tolist() == np.repeat(ids, ITEMS // 2).tolist()
    monkeypatch.setattr(model, "_devices", [torch.device("cpu")] * 4)
    pd.testing.assert_frame_equal(model.recommend(**asked), alone, check_exact=True)


def test_lines_of_json_hold_any_text(tmp_path):
    import pyarrow as pa

    from plmrs.recommend.output import written

    rows = {"user": ['a\n\t"\\\u2028\x01', None], "item": ["ü,", "😀"], "score": pa.array([0.1, -1e-7], pa.float32())}
    table = pa.table(rows)
    with written(tmp_path / "x.jsonl", table.schema) as write:
        write(table)
        write(table.slice(0, 0))
    lines = (tmp_path / "x.jsonl").read_text(encoding="utf-8").split("\n")
    assert [json.loads(line) for line in lines[:-1]] == [
        {"user": 'a\n\t"\\\u2028\x01', "item": "ü,", "score": 0.1},
        {"user": None, "item": "😀", "score": -1e-7},
    ]


def test_a_failed_writing_leaves_nothing(workspace, model, tmp_path, monkeypatch):
    def fails(*_: object) -> None:
        raise OSError("no more")

    monkeypatch.setattr(TrainedModel, "_table", fails)
    with pytest.raises(OSError, match="no more"):
        run(workspace, output=tmp_path / "out.parquet")
    assert not list(tmp_path.iterdir())


def test_the_terminal_shows_the_first_users_and_says_so(workspace, model, whole):
    (table,) = run(workspace, topk=4)
    assert list(table.columns) == ["user", "rank", "item", "score", "text"]
    assert [row[2] for row in table.rows] == whole[whole["rank"] <= 4].item.tolist()[:12]
    assert any(note.startswith("The first 3 of 300 users.") for note in table.notes)


def test_a_history_on_the_command_line_needs_no_user(workspace, model, whole):
    history = histories(model)[user_id(1)]
    (table,) = run(workspace, history=history)
    assert list(table.columns) == ["rank", "item", "score", "text"]
    assert [row[1] for row in table.rows] == whole[whole.user == user_id(1)].item.tolist()


@pytest.mark.parametrize("given", [("00004", "3,0"), ("00004,00008",), ("3,0", "u 1,ü2")])
def test_users_are_words_commas_or_a_file(workspace, model, tmp_path, given):
    wanted = (
        ["00004", "3,0"] if given[0] == "00004" else ["00004", "00008"] if len(given) == 1 else ["3,0", "u 1", "ü2"]
    )
    (table,) = run(workspace, users=given, topk=1)
    assert [row[0] for row in table.rows] == wanted
    (tmp_path / "users.txt").write_text("\ufeff" + "\r\n".join([*wanted, ""]), encoding="utf-8")
    (table,) = run(workspace, users=(str(tmp_path / "users.txt"),), topk=1)
    assert [row[0] for row in table.rows] == wanted


def test_a_word_of_many_ids_is_no_file_s_name(workspace, model, whole):
    wanted = [user_id(4 * user + 1) for user in range(75)]
    assert len(",".join(wanted)) > 255
    (table,) = run(workspace, users=(",".join(wanted),), topk=1)
    assert [row[0] for row in table.rows] == wanted[:20]


def test_more_items_than_there_are_is_all_that_are_left(workspace, model):
    everything = model.recommend(users=user_id(5), k=10**12)
    assert len(everything) == ITEMS - len(histories(model)[user_id(5)])
    assert everything.item.tolist() == model.recommend(users=user_id(5), k=ITEMS).item.tolist()


def test_candidates_are_what_is_recommended_from(workspace, model, tmp_path):
    some = [IDS[3], IDS[50], IDS[-1]]
    path = tmp_path / "some.txt"
    path.write_text("\n".join(some), encoding="utf-8")
    for asked in (str(path), some):
        found = model.recommend(candidates=asked, mask_seen=False)
        assert len(found) == 3 * USERS
        assert set(found.item) == set(some)
    taken = histories(model)
    masked = model.recommend(candidates=some)
    assert len(masked) == sum(len(set(some) - set(history)) for history in taken.values())
    anyone = {item for history in taken.values() for item in history}
    training = {item for history in taken.values() for item in history[:-2]}
    assert set(model.recommend(candidates="interacted", k=ITEMS).item) == anyone
    assert set(model.recommend(candidates="train", k=ITEMS).item) == training
    assert not set(IDS[-NEW:]) & anyone


def test_users_for_whom_nothing_is_left_have_no_rows(workspace, model, tmp_path):
    history = histories(model)[user_id(5)]
    assert model.recommend(users=user_id(5), candidates=history[:1]).empty
    path = tmp_path / "seen.txt"
    path.write_text(history[0], encoding="utf-8")
    (table,) = run(workspace, users=(user_id(5),), candidates=str(path))
    assert "No candidate is left to recommend." in table.notes
    run(workspace, candidates=str(path), output=tmp_path / "out.csv")
    assert user_id(5) not in set(pd.read_csv(tmp_path / "out.csv", dtype=str).user)


def test_three_lines_of_python(workspace, model, whole, monkeypatch):
    monkeypatch.setenv("PLMRS_RUNS", str(workspace.runs))
    loaded = plmrs.load("text", root=workspace.root, accelerator="cpu")
    pd.testing.assert_frame_equal(loaded.recommend(), whole, check_exact=True)


@pytest.mark.parametrize(
    ("options", "message", "remedy"),
    [
        ({"history": ["5"]}, "--history: there is no item '5'.", "Did you mean 0005?"),
        ({"history": ["0000", "é 2", "q"]}, "no item 'é 2', and 1 more id is not there either.", "Did you mean é2"),
        ({"users": ["0004"]}, "--users: there is no user '0004'.", "Did you mean 00004?"),
        ({"users": [",", ""]}, "--users ,  names no user.", "leave it out for all users"),
        ({"users": ["a"], "history": ["0000"]}, "--users and --history are both given", "one of them"),
        ({"output": "out.txt"}, "--output out.txt: its ending says no format", ".parquet, .csv, .jsonl"),
        ({"candidates": "interacte"}, "--candidates interacte: there is no such file", "Did you mean interacted?"),
        ({"candidates": "none.txt"}, "--candidates none.txt: there is no such file", "a file with an id a line"),
        ({"text_fields": "title"}, "--text-fields is given without --items", "--items FILE"),
        ({"items": "none.csv"}, "There is no file none.csv", ""),
    ],
)
def test_bad_input_is_answered(workspace, model, tmp_path, monkeypatch, options, message, remedy):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        run(workspace, **options)
    assert message in error.value.message
    assert remedy in error.value.remedy


def test_bad_files_of_ids_are_answered(workspace, model, tmp_path):
    empty, binary, wrong = tmp_path / "empty", tmp_path / "binary", tmp_path / "wrong"
    empty.write_text("\n\n")
    binary.write_bytes(b"\xff\xfe\x00")
    wrong.write_text("00000\nnobody\n")
    for path, message in ((empty, "holds no id"), (binary, "no UTF-8 text"), (wrong, "there is no user 'nobody'")):
        with pytest.raises(UserError, match=message):
            run(workspace, users=(str(path),))


def test_histories_are_checked(model):
    with pytest.raises(UserError, match="history 1 is empty"):
        model.recommend(histories=[[IDS[0]], []])
    with pytest.raises(UserError, match="ids are text"):
        model.recommend(histories=[[7]])
    with pytest.raises(ValueError, match="a list of histories"):
        model.recommend(histories=[IDS[0]])
    for k in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            model.recommend(users=user_id(0), k=k)
    with pytest.raises(ValueError, match="not both"):
        model.recommend(users=[user_id(0)], histories=[[IDS[0]]])


def test_a_model_of_a_diverged_training_is_refused(trained: Trained, monkeypatch):
    from plmrs.model.recommender import Recommender

    monkeypatch.setattr(Recommender, "candidates", lambda self, vectors: vectors * float("nan"))
    with pytest.raises(UserError, match="training diverged"):
        trained("text")
