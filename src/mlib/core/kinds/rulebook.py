"""The rules of `rules.json` as records. The file says how a rule is written and what it means."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_INNERMOST = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Name:
    """One way to write a tensor's name: `parts` are what its stars stand between; without stars, one part."""

    parts: tuple[str, ...]

    @property
    def is_exact(self) -> bool:
        return len(self.parts) == 1

    def fits(self, name: str, prefix: str) -> bool:
        """Whether `name` is `prefix` and then this. Linear in the name's length, whatever it is."""
        head, *middle, tail = self.parts if len(self.parts) > 1 else (*self.parts, "")
        at, end = len(prefix) + len(head), len(name) - len(tail)
        if at > end or not (name.startswith(prefix) and name.startswith(head, len(prefix))):
            return False
        if not name.endswith(tail):
            return False
        for part in middle:
            at = name.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return at <= end if len(self.parts) > 1 else at == end


@dataclass(frozen=True, slots=True)
class Size:
    """The length of an axis of any of these names; without an axis, any length that is known of it."""

    names: tuple[Name, ...]
    axis: int | None
    lengths: frozenset[int]
    text: str


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold of a file's names; each of `has` and `lacks` is one name in its several spellings."""

    id: str
    kind: str
    bases: tuple[str, ...]
    like: tuple[str, ...]
    called: tuple[str, ...]
    has: tuple[tuple[Name, ...], ...]
    lacks: tuple[tuple[Name, ...], ...]
    sizes: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are tried one after another, on tensors or on adapted layers."""

    rules: tuple[Rule, ...]
    prefixes: tuple[str, ...]
    adapters: bool
    yields_to: str | None
    bundle_kind: str | None
    bundle_names: tuple[Name, ...]


@functools.cache
def shipped_rules() -> tuple[Group, ...]:
    """The rules that come with this program, in the order they are to be tried."""
    import json
    from importlib.resources import files

    text = files("mlib.core.kinds").joinpath("rules.json").read_text(encoding="utf-8")
    return tuple(_group(group) for group in json.loads(text)["groups"])


def spellings(text: str) -> Iterator[str]:
    """What `{a,b}` stands for, as a shell would have it."""
    braces = _INNERMOST.search(text)
    if braces is None:
        yield text
        return
    for choice in braces[1].split(","):
        yield from spellings(text[: braces.start()] + choice + text[braces.end() :])


def _group(group: Mapping[str, Any]) -> Group:
    bundle = group.get("bundle", {})
    return Group(
        rules=tuple(_rule(rule, group["kind"]) for rule in group["rules"]),
        prefixes=tuple(group.get("prefixes", ("",))),
        adapters=group.get("adapters", False),
        yields_to=group.get("yields_to"),
        bundle_kind=bundle.get("kind"),
        bundle_names=_names(bundle["beside"]) if bundle else (),
    )


def _rule(rule: Mapping[str, Any], kind: str) -> Rule:
    base = rule.get("base", [])
    return Rule(
        id=rule["id"],
        kind=rule.get("kind", kind),
        bases=(base,) if isinstance(base, str) else tuple(base),
        like=tuple(rule.get("like", ())),
        called=tuple(rule.get("called", ())),
        has=tuple(_names(name) for name in rule.get("has", ())),
        lacks=tuple(_names(name) for name in rule.get("lacks", ())),
        sizes=tuple(_size(key, wanted) for key, wanted in rule.get("size", {}).items()),
    )


def _names(text: str) -> tuple[Name, ...]:
    return tuple(Name(tuple(spelling.split("*"))) for spelling in dict.fromkeys(spellings(text)))


def _size(key: str, wanted: int | list[int]) -> Size:
    name, _, axis = key.removesuffix("]").rpartition("[")
    return Size(
        names=_names(name),
        axis=None if axis == "in" else int(axis),
        lengths=frozenset([wanted] if isinstance(wanted, int) else wanted),
        text=axis,
    )
