"""The rules of `rules/*.json` as records.

Groups are tried in the order of `FILES` and from first to last, and so are the rules of a group; the first
rule that holds decides. So a special case stands above the general one, and adapters above the models whose
names they borrow.

A file:   sources  where its facts come from          groups  as below
A rule:   id       unique, never reused: it is stored beside the answer
          base     the base model as people call it, or a list where the tensors fit several; none if unknown
          like     other bases that look the same from here: not claimed, but no contradiction either
          called   wider names that metadata gives it, which are no contradiction and add nothing
          kind     if it differs from the group's
          and what must hold:
          has      names that must all be there        lacks  names that must not be there
          size     `name[axis]` and the length wanted there, or a list of lengths: one must be seen, and none
                   that is not wanted; axes count as in torch, -1 is the last, `[axes]` is how many there are
          fits     the same, but nothing need be seen
          last     a name that numbered blocks have before their number, with the highest number, or with
                   the least and the most that the highest may be: `"blocks": 29` or `"blocks": [30, 39]`
          any      a list of such conditions, of which one must hold
A name:   {a,b} is either, * is any text. The tensors may have one of the group's prefixes before it, the same
          one for the whole rule; prefixes are tried in order. Sizes of tensors that hold packed
          numbers (U8, I32) say nothing and are not seen.
A group:  adapters   its rules see the layers that LoRA and its kin adapt, not tensors: name_of_layer, with
                     prefix and ending taken off, dots as underscores, every whole number above 1 as N;
                     name_of_layer[in] is how many inputs the layer has
          yields_to  where a later group finds a model under this prefix, that one decides
          bundle     the kind it is instead when one of these names is beside it
          models     instead of rules: base models and the layers of theirs that can be adapted
          undecided  the id that is stored where several of the models fit, or none

A model:  id, base, like, called, source  as above
          layers   name_of_layer, with # for every number, and [inputs, outputs], or a list of such pairs;
                   or the id of a model that has the same layers
          last     the highest number of its blocks, by the name before the number
          has      names of layers, written as those of rules are, without which it is not looked for
          lacks    names of layers that it does not have
          under    prefixes of which the tensors must have one, where the layers are also those of a model
                   that no image is made with
Of all models of a group those are left that fit every layer seen which any of them has. If the file has every
block of some of these, it is those.

To add an architecture: load a file, find a name (or a length) that no other model has, add a line above all
rules that are more general, and add the smallest header that shows it to tests/data/headers.
"""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

#: The files of rules, in the order they are tried.
FILES = ("controls", "adapters", "diffusion", "vae", "vision", "text_encoders", "upscalers")

_INNERMOST = re.compile(r"\{([^{}]*)\}")


class Name(NamedTuple):
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


class Size(NamedTuple):
    """Lengths that an axis of these names may have; `axis` is its number, `axes` for how many there are,
    or `in` for the inputs of an adapted layer."""

    names: tuple[Name, ...]
    axis: int | str
    lengths: frozenset[int]


class Last(NamedTuple):
    """Between what the highest number of the blocks that are called one of `names` may lie."""

    names: tuple[str, ...]
    least: int
    most: int


class Condition(NamedTuple):
    """What must hold of a file's names; each of `has` and `lacks` is one name in its several spellings."""

    has: tuple[tuple[Name, ...], ...] = ()
    lacks: tuple[tuple[Name, ...], ...] = ()
    sizes: tuple[Size, ...] = ()
    fits: tuple[Size, ...] = ()
    last: tuple[Last, ...] = ()
    any: tuple[Condition, ...] = ()


class Answer(NamedTuple):
    """What a rule or a model stands for."""

    id: str
    kind: str
    bases: tuple[str, ...]
    like: tuple[str, ...]
    called: tuple[str, ...]


class Rule:
    """An answer, and when it is given. What it asks is read when it is first tried: most rules never are.

    Some name must begin with one of `stems`, up to its first dot, or the rule cannot hold: who asks that
    first is done with most rules. None if the rule does not say so much.
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


class Model(NamedTuple):
    """A base model by the layers that adapters change: pairs of inputs and outputs by a layer's name, and the
    highest number of its blocks by the name before it."""

    answer: Answer
    layers: Mapping[str, frozenset[tuple[int, int]]]
    last: Mapping[str, int]
    has: tuple[tuple[Name, ...], ...]
    lacks: tuple[tuple[Name, ...], ...]
    under: tuple[str, ...]


class Known(NamedTuple):
    """The models of a group, and how many of them have a layer of each name."""

    models: tuple[Model, ...]
    layers: Mapping[str, int]


class Group(NamedTuple):
    """Rules that are tried one after another, on tensors or on adapted layers; or models to be told apart,
    which are made only when an adapter asks for them."""

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
    """The rules that come with this program, in the order they are to be tried."""
    return read_groups(group for name in FILES for group in shipped(name)["groups"])


def shipped(name: str) -> Any:
    """What is written in `rules/NAME.json`. Its path is made here: importlib.resources loads 30 modules."""
    import json

    path = os.path.join(os.path.dirname(__file__), "rules", f"{name}.json")
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def read_groups(groups: Iterable[Mapping[str, Any]]) -> tuple[Group, ...]:
    """Groups as they are written in the files."""
    written = tuple(groups)
    layers = {model["id"]: model["layers"] for group in written for model in group.get("models", ())}
    return tuple(_group(group, layers) for group in written)


def spellings(text: str) -> Iterator[str]:
    """What `{a,b}` stands for, as a shell would have it."""
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
    """What a name must begin with to be `text`, however it is spelled; None if with anything."""
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


def _model(model: Mapping[str, Any], kind: str, all_layers: Mapping[str, Any]) -> Model:
    layers = model["layers"]
    return Model(
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
