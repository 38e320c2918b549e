"""The files of an evaluation, read back by others than who wrote them."""

import csv
import json
from pathlib import Path

import pytest

from plmrs.config import ResultOptions
from plmrs.errors import UserError
from plmrs.evaluate.output import output_paths, write_output
from plmrs.report import Table

CONTENT = {
    "groups": [
        {
            "by": "all",
            "group": "all",
            "users": 7,
            "metrics": {"a": {"HR@1": 0.5}},
            "intervals": {"a": {"HR@1": (0, 1)}},
        },
        {"by": "category", "group": "x, y", "users": 3, "metrics": {"a": {"HR@1": 0.25}}},
    ],
    "lists": {"a": {"gini@1": 0.125}},
}
TABLE = Table("Metrics", ["a|b", "HR@1"], [["50% {x}_y", 0.5], ["z", None]], ["users: 7"], bold={(0, 1)})


def test_json_and_csv_hold_every_number(tmp_path: Path):
    write_output(tmp_path / "a.json", CONTENT, [TABLE])
    assert json.loads((tmp_path / "a.json").read_text())["groups"][1]["metrics"] == {"a": {"HR@1": 0.25}}
    write_output(tmp_path / "a.csv", CONTENT, [TABLE])
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert [tuple(row.values()) for row in rows] == [
        ("all", "all", "7", "a", "HR@1", "0.5", "0", "1"),
        ("category", "x, y", "3", "a", "HR@1", "0.25", "", ""),
        ("all", "all", "7", "a", "gini@1", "0.125", "", ""),
    ]


def test_markdown_and_latex_mark_the_best_and_escape_what_they_read_otherwise(tmp_path: Path):
    write_output(tmp_path / "a.md", CONTENT, [TABLE])
    assert (tmp_path / "a.md").read_text().splitlines() == [
        "### Metrics",
        "",
        "| a\\|b | HR@1 |",
        "| --- | ---: |",
        "| 50% {x}_y | **0.5000** |",
        "| z | - |",
        "",
        "- users: 7",
    ]
    write_output(tmp_path / "a.tex", CONTENT, [TABLE])
    lines = (tmp_path / "a.tex").read_text().splitlines()
    assert r"50\% \{x\}\_y & \textbf{0.5000} \\" in lines
    assert lines[2] == r"\begin{tabular}{lr}"
    assert "% users: 7" in lines
    assert not list(tmp_path.glob("*.partial*"))


def test_what_a_text_may_hold_is_printed_as_it_is(tmp_path: Path):
    odd = Table("A\nB", ["> 200", "<b>a*b*</b>\nc"], [["a\\|b `c` [d](e)", "< 0.0001"]], ["n\no"])
    write_output(tmp_path / "a.md", CONTENT, [odd])
    assert (tmp_path / "a.md").read_text().splitlines()[2:5] == [
        r"| > 200 | \<b>a\*b\*\</b>\\nc |",
        "| --- | ---: |",
        r"| a\\\|b \`c\` \[d](e) | \< 0.0001 |",
    ]
    write_output(tmp_path / "a.tex", CONTENT, [odd])
    lines = (tmp_path / "a.tex").read_text().splitlines()
    # As they stand OT1, which is what LaTeX sets in unless told otherwise, prints these as ¡, ¿ and a dash.
    assert lines[4].startswith(r"\textgreater{} 200 & \textless{}b\textgreater{}")
    assert r"a\textbackslash{}\textbar{}b" in lines[6]
    assert lines[6].endswith(r" & \textless{} 0.0001 \\")
    assert lines[1] == r"% A\nB"


def test_a_folder_or_no_name_is_refused_before_anything_is_ranked(tmp_path: Path):
    for option, name in (("output", "a.csv"), ("per_user", "a.parquet"), ("report", "a.html")):
        (tmp_path / name).mkdir()
        with pytest.raises(UserError, match=rf"--{option.replace('_', '-')} .*{name} is a folder"):
            output_paths(ResultOptions(**{option: str(tmp_path / name)}))
    with pytest.raises(UserError, match="--output , names no file"):
        output_paths(ResultOptions(output=","))


def test_suffixes_are_checked_before_anything_is_ranked():
    assert output_paths(ResultOptions(output="a b.json, c.tex")) == [Path("a b.json"), Path("c.tex")]
    assert output_paths(ResultOptions()) == []
    with pytest.raises(UserError, match="suffix"):
        output_paths(ResultOptions(output="a.json,b.xlsx"))
    with pytest.raises(UserError, match="Parquet"):
        output_paths(ResultOptions(per_user="users.csv"))
