"""YAML as people write options: texts, lists and mappings. It builds no objects and has no second meaning.

A value is the text that stands there, as it is on a command line: the option's own rule says what it means. YAML by
itself would make 8 of `010`, a date of `2024-05-01`, and the smaller one of two values for a key that stands twice.
"""

from functools import cache
from typing import Any

LONGEST = 1 << 18
"""Characters of a text that can be a file of options."""
_NULL = "tag:yaml.org,2002:null"
_PLAIN = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map", _NULL)


class YamlError(Exception):
    """The text is not such YAML; the message says where, if that is known, and why: ` at line 2: lr stands twice`."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(f"{f' at line {line}' if line else ''}: {reason}")


def read_yaml(text: str) -> Any:
    """What stands in a YAML text; None where nothing does.

    Raises:
        YamlError: it is no YAML, names a kind of object, refers to another place in it, or gives a key twice.
    """
    import yaml

    if len(text) > LONGEST:
        raise YamlError(f"it has more than {LONGEST:,} characters")
    try:
        return yaml.load(text, Loader=_loader())
    except RecursionError:
        raise YamlError("too many values lie within one another") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        raise YamlError(reason, mark.line + 1 if mark else None) from None


@cache
def _loader() -> Any:
    import yaml

    class Plain(yaml.SafeLoader):
        """Nothing but texts, lists, mappings and null."""

        yaml_implicit_resolvers = {  # noqa: RUF012 - as PyYAML has it
            first: [(tag, form) for tag, form in known if tag == _NULL]
            for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                mark = self.get_event().start_mark  # type: ignore[no-untyped-call]
                raise _error(mark, "a reference (*) to another place is not taken")
            return super().compose_node(parent, index)

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            # What `!!map x` says of itself is not to be trusted either.
            if node.tag not in _PLAIN or (node.tag == _PLAIN[2]) != isinstance(node, yaml.MappingNode):
                raise _error(node.start_mark, f"the kind {node.tag} of a value is not taken; leave out its !")
            return super().construct_object(node, deep=True)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            known: set[str] = set()
            for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
                name = self.construct_object(key)
                if not isinstance(name, str):
                    raise _error(key.start_mark, "a key is no text")
                if name in known:
                    raise _error(key.start_mark, f"{name} stands twice")
                known.add(name)
            return super().construct_mapping(node, deep=True)

    def _error(mark: Any, reason: str) -> Exception:
        return yaml.MarkedYAMLError(problem=reason, problem_mark=mark)

    return Plain
