"""Load the rules of `rules/*.json` as records.

Groups are tried in the order of `FILES` and then of the file, rules in the order of their group; the first
rule that matches decides. So special cases come before general ones, and adapters before the models whose
tensor names they borrow.

A file:   sources  where its facts come from          groups  see below
A rule:   id       unique, never reused: it is stored with the result
          base     the base model's usual name, or a list if the tensors fit several; omitted if unknown
          like     other base models with the same tensors: not claimed, but not a contradiction either
          called   broader names for it in metadata: not a contradiction, and no new information
          kind     if it differs from the group's
          and conditions, all of which must hold:
          has      names that must all be present       lacks  names that must be absent
          size     `name[axis]` and its length, or a list of allowed lengths: one must occur, and no other;
                   axes as in torch, -1 is the last, `[axes]` is the number of axes
          fits     like size, but the name need not occur
          last     the name before the number of numbered blocks, with the highest number, or the least and
                   the greatest allowed for it: `"blocks": 29` or `"blocks": [30, 39]`
          any      a list of such conditions, one of which must hold
A name:   {a,b} means either, * any text. One of the group's prefixes may precede it, the same one for the
          whole rule; prefixes are tried in order. Shapes of tensors with packed numbers (U8, I32) are
          ignored.
A group:  adapters   its rules see the layers that adapters (LoRA and similar) change, not tensors:
                     name_of_layer, without prefix and suffix, dots as underscores, every whole number above 1
                     as N; name_of_layer[in] is the layer's number of inputs
          yields_to  if a later group finds a model under this prefix, that result is used
          bundle     the kind to report instead if one of these names is also in the file
          models     instead of rules: base models and their layers that can be adapted
          undecided  the id to store if several of the models fit, or none

A model:  id, base, like, called, source  as above
          layers   name_of_layer, with # for every number, and [inputs, outputs], or a list of such pairs;
                   or the id of a model with the same layers
          last     the highest number of its blocks, by the name before the number
          has      names of layers, in the syntax of rules, that must be present
          lacks    names of layers that must be absent
          under    prefixes, one of which the tensors must have, for layers that also occur in a model
                   that does not make images
The models of a group that fit every known layer in the file are kept. If the file has every block of some of
them, only those are.

To add an architecture: load a file, find a name (or a length) that no other model has, add a rule above all
more general rules, and add the smallest header that shows it to tests/data/headers.
"""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

#: The rule files, in the order they are tried.
FILES = ("controls", "adapters", "diffusion", "vae", "vision", "text_encoders", "upscalers")

_INNERMOST = re.compile(r"\{([^{}]*)\}")


class Name(NamedTuple):
    """One spelling of a tensor's name: `parts` are the texts between its stars."""

    parts: tuple[str, ...]

    @property
    def is_exact(self) -> bool:
        return len(self.parts) == 1

    def fits(self, name: str, prefix: str) -> bool:
        """Whether `name` is `prefix` followed by this pattern. Takes linear time for any name."""
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


class Size(NamedTuple):
    """The lengths allowed for an axis of these names; `axis` is its number, `axes` for the number of axes, or
    `in` for the inputs of an adapted layer."""

    names: tuple[Name, ...]
    axis: int | str
    lengths: frozenset[int]


class Last(NamedTuple):
    """The range of the highest block number under one of `names`."""

    names: tuple[str, ...]
    least: int
    most: int


class Condition(NamedTuple):
    """Requirements on a file's names; each item of `has` and `lacks` is one name in all its spellings."""

    has: tuple[tuple[Name, ...], ...] = ()
    lacks: tuple[tuple[Name, ...], ...] = ()
    sizes: tuple[Size, ...] = ()
    fits: tuple[Size, ...] = ()
    last: tuple[Last, ...] = ()
    any: tuple[Condition, ...] = ()


class Answer(NamedTuple):
    """The result of a rule or a model."""

    id: str
    kind: str
    bases: tuple[str, ...]
    like: tuple[str, ...]
    called: tuple[str, ...]


class Rule:
    """An answer and its condition, which is parsed when the rule is first tried: most never are.

    `stems` are the possible first components of a name that the rule requires, None if it requires none;
    checking them first rules out most rules.
    """

    def __init__(self, written: Mapping[str, Any], kind: str) -> None:
        self._written = written
        self._kind = kind
        asked = (*written.get("has", ()), *(key.rpartition("[")[0] for key in written.get("size", ())))
        self.stems = next(filter(None, map(_stems, asked)), None)

    @functools.cached_property
    def answer(self) -> Answer:
        return _answer(self._written, self._kind)

    @functools.cached_property
    def asks(self) -> Condition:
        return _condition(self._written)


class RuleModel(NamedTuple):
    """A base model described by its adaptable layers: (inputs, outputs) pairs by layer name, and the highest
    block number by the name before it."""

    answer: Answer
    layers: Mapping[str, frozenset[tuple[int, int]]]
    last: Mapping[str, int]
    has: tuple[tuple[Name, ...], ...]
    lacks: tuple[tuple[Name, ...], ...]
    under: tuple[str, ...]


class Known(NamedTuple):
    """The models of a group, and for each layer name the number of models that have it."""

    models: tuple[RuleModel, ...]
    layers: Mapping[str, int]


class Group(NamedTuple):
    """Rules tried in order, on tensors or on adapted layers; or models to choose from, which are created only
    when an adapter needs them."""

    kind: str
    rules: tuple[Rule, ...]
    known: Callable[[], Known]
    undecided: str
    tells_models_apart: bool
    prefixes: tuple[str, ...]
    adapters: bool
    yields_to: str | None
    bundle_kind: str | None
    bundle_names: tuple[Name, ...]

    @property
    def answers(self) -> tuple[Answer, ...]:
        return (*(model.answer for model in self.known().models), *(rule.answer for rule in self.rules))


@functools.cache
def shipped_rules() -> tuple[Group, ...]:
    """The rules shipped with this program, in the order to try them."""
    return read_groups(group for name in FILES for group in shipped(name)["groups"])


def shipped(name: str) -> Any:
    """Load `rules/NAME.json`. Not with importlib.resources, which loads 30 modules."""
    import json

    path = os.path.join(os.path.dirname(__file__), "rules", f"{name}.json")
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def read_groups(groups: Iterable[Mapping[str, Any]]) -> tuple[Group, ...]:
    """Parse groups as written in the files."""
    written = tuple(groups)
    layers = {model["id"]: model["layers"] for group in written for model in group.get("models", ())}
    return tuple(_group(group, layers) for group in written)


def spellings(text: str) -> Iterator[str]:
    """Expand `{a,b}` as a shell does."""
    braces = _INNERMOST.search(text)
    if braces is None:
        yield text
        return
    for choice in braces[1].split(","):
        yield from spellings(text[: braces.start()] + choice + text[braces.end() :])


def _group(group: Mapping[str, Any], layers: Mapping[str, Any]) -> Group:
    bundle = group.get("bundle", {})
    kind = group["kind"]

    @functools.cache
    def known() -> Known:
        models = tuple(_model(model, kind, layers) for model in group.get("models", ()))
        return Known(models, Counter(name for model in models for name in model.layers))

    return Group(
        kind=kind,
        rules=tuple(Rule(rule, kind) for rule in group.get("rules", ())),
        known=known,
        tells_models_apart="models" in group,
        undecided=group.get("undecided", ""),
        prefixes=tuple(group.get("prefixes", ("",))),
        adapters=group.get("adapters", False),
        yields_to=group.get("yields_to"),
        bundle_kind=bundle.get("kind"),
        bundle_names=_names(bundle["beside"]) if bundle else (),
    )


def _stems(text: str) -> frozenset[str] | None:
    """The possible first components of names matching `text`; None if it can begin with anything."""
    stem = text.partition(".")[0]
    if "{" not in stem and "*" not in stem:
        return frozenset([stem])
    heads = [name.parts[0] for name in _names(text) if name.is_exact or "." in name.parts[0]]
    return frozenset(head.partition(".")[0] for head in heads) if len(heads) == len(_names(text)) else None


def _answer(rule: Mapping[str, Any], kind: str) -> Answer:
    base = rule.get("base", [])
    return Answer(
        id=rule["id"],
        kind=rule.get("kind", kind),
        bases=(base,) if isinstance(base, str) else tuple(base),
        like=tuple(rule.get("like", ())),
        called=tuple(rule.get("called", ())),
    )


def _condition(asked: Mapping[str, Any]) -> Condition:
    return Condition(
        has=tuple(_names(name) for name in asked.get("has", ())),
        lacks=tuple(_names(name) for name in asked.get("lacks", ())),
        sizes=tuple(_size(key, wanted) for key, wanted in asked.get("size", {}).items()),
        fits=tuple(_size(key, wanted) for key, wanted in asked.get("fits", {}).items()),
        last=tuple(_last(key, wanted) for key, wanted in asked.get("last", {}).items()),
        any=tuple(_condition(choice) for choice in asked.get("any", ())),
    )


def _model(model: Mapping[str, Any], kind: str, all_layers: Mapping[str, Any]) -> RuleModel:
    layers = model["layers"]
    return RuleModel(
        answer=_answer(model, kind),
        layers={
            name: frozenset((inputs, outputs) for inputs, outputs in _pairs(sizes))
            for names, sizes in (all_layers[layers] if isinstance(layers, str) else layers).items()
            for name in spellings(names)
        },
        last={name: last for names, last in model.get("last", {}).items() for name in spellings(names)},
        has=tuple(_names(name) for name in model.get("has", ())),
        lacks=tuple(_names(name) for name in model.get("lacks", ())),
        under=tuple(model.get("under", ())),
    )


def _pairs(sizes: list[Any]) -> list[Any]:
    return [sizes] if isinstance(sizes[0], int) else sizes


@functools.cache
def _names(text: str) -> tuple[Name, ...]:
    return tuple(Name(tuple(spelling.split("*"))) for spelling in dict.fromkeys(spellings(text)))


def _size(key: str, wanted: int | list[int]) -> Size:
    name, _, axis = key.removesuffix("]").rpartition("[")
    return Size(
        names=_names(name),
        axis=axis if axis in ("in", "axes") else int(axis),
        lengths=frozenset([wanted] if isinstance(wanted, int) else wanted),
    )


def _last(key: str, wanted: int | list[int]) -> Last:
    least, most = (0, wanted) if isinstance(wanted, int) else wanted
    return Last(names=tuple(spellings(key)), least=least, most=most)
