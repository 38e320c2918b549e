"""What was found as tables: all users, lists, groups, and how runs differ; the best of a column is bold."""

from collections.abc import Mapping, Sequence
from typing import Any

from plmrs.evaluate.significance import Pair
from plmrs.report import Cell, Table


def tables_of(title: str, content: Mapping[str, Any], pairs: Sequence[Pair], notes: Sequence[str]) -> list[Table]:
    """All tables; the protocol stands beneath the last one.

    Args:
        title: Of the first.
        content: Methods, groups and lists, as `test_metrics.json` has them.
        pairs: Runs compared.
        notes: Lines beneath.
    """
    methods, (everyone, *groups) = content["methods"], content["groups"]
    tables = [_overall(title, methods, everyone), _intervals(methods, everyone), _lists(methods, content["lists"])]
    kinds = dict.fromkeys(group["by"] for group in groups)
    tables += [_by(by, methods, [group for group in groups if group["by"] == by]) for by in kinds]
    if pairs:
        rows: list[list[Cell]] = [
            [f"{pair.first} - {pair.second}", pair.difference, _chance(pair.p), _chance(pair.adjusted)]
            for pair in pairs
        ]
        tables.append(Table("NDCG@10, difference of runs", ["runs", "difference", "p", "p, Holm"], rows))
    last = tables.pop()
    return [*tables, Table(last.title, last.columns, last.rows, [*last.notes, *notes], last.bold)]


def headline(names: Sequence[str]) -> str:
    """The metric that stands for all where there is room for one: NDCG@10, or the last NDCG."""
    return "NDCG@10" if "NDCG@10" in names else [name for name in names if name.startswith("NDCG@")][-1]


def _overall(title: str, methods: Sequence[str], group: Mapping[str, Any]) -> Table:
    """HR and NDCG of all users, each at all k, as papers print them."""
    names = _named(group, methods[0], "HR") + _named(group, methods[0], "NDCG")
    rows: list[list[Cell]] = [[method, *(group["metrics"][method][name] for name in names)] for method in methods]
    return Table(title, ["method", *names], rows, bold=_best(rows))


def _intervals(methods: Sequence[str], group: Mapping[str, Any]) -> Table:
    """MRR of all users, and what one metric lies between; a table of its own, for terminals of 80 columns."""
    metric, names = headline(list(group["metrics"][methods[0]])), _named(group, methods[0], "MRR")
    rows: list[list[Cell]] = [[method, *(group["metrics"][method][name] for name in names)] for method in methods]
    bold = _best(rows)
    if "intervals" not in group:
        return Table("MRR", ["method", *names], rows, bold=bold)
    rows = [[*row, *group["intervals"][method][metric]] for row, method in zip(rows, methods, strict=True)]
    title = f"MRR, and the 95 % interval of {metric}"
    return Table(title, ["method", *names, f"{metric} from", "to"], rows, bold=bold)


def _named(group: Mapping[str, Any], method: str, kind: str) -> list[str]:
    return [name for name in group["metrics"][method] if name.startswith(f"{kind}@")]


def _lists(methods: Sequence[str], lists: Mapping[str, Mapping[str, float]]) -> Table:
    """What the lists are like."""
    coverage, popularity, gini = lists[methods[0]]
    rows: list[list[Cell]] = [
        [method, lists[method][coverage], round(lists[method][popularity]), lists[method][gini]] for method in methods
    ]
    return Table(f"Lists of the best {coverage.partition('@')[2]}", ["method", coverage, popularity, gini], rows)


def _by(by: str, methods: Sequence[str], groups: Sequence[Mapping[str, Any]]) -> Table:
    """One metric of each group, a column a group."""
    metric = headline(list(groups[0]["metrics"][methods[0]]))
    rows: list[list[Cell]] = [[method, *(group["metrics"][method][metric] for group in groups)] for method in methods]
    bold = _best(rows)
    rows.append(["users", *(group["users"] for group in groups)])
    return Table(f"{metric} by {by}", ["method", *(group["group"] for group in groups)], rows, bold=bold)


def _best(rows: Sequence[Sequence[Cell]]) -> frozenset[tuple[int, int]]:
    """The places of each column's largest numbers; none where all rows have the same."""
    found = set()
    for column in range(1, len(rows[0])):
        values = [float(row[column] or 0) for row in rows]
        if min(values) < max(values):
            found |= {(row, column) for row, value in enumerate(values) if value == max(values)}
    return frozenset(found)


def _chance(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"
