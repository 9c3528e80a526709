"""Classify a file by the names and shapes of its tensors: kind, base model, and the evidence.

`outline` reduces the tensors to patterns, `classify` tries the shipped rules on them, and `fitting_models`
narrows an adapter down to the base models whose layers have the sizes it changes.
"""

from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.kinds.adapters import Layer, adapted_layers, adapted_name
from mlib.core.kinds.bases import UNKNOWN
from mlib.core.kinds.rulebook import shipped_rules

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from mlib.core.formats.header import Tensor
    from mlib.core.kinds.rulebook import Answer, Condition, Group, Name, RuleModel, Size


# --- Base models that an adapter fits: those whose layers have the sizes it changes

_NUMBER = re.compile(r"(?<![^_])(?:[01]|N)(?![^_])")
#: Layer names cached; the adapters of all trainers together have about as many.
_NAMES = 8_192


class Fitting(NamedTuple):
    """The models that fit, and the reasons, a phrase each."""

    models: tuple[RuleModel, ...]
    reasons: tuple[str, ...]


def fitting_models(
    group: Group, layers: Mapping[str, Layer], blocks: Mapping[str, frozenset[int]], *, names: Collection[str]
) -> Fitting | None:
    """The group's models that have these layers and blocks; None if none of the layers is known.

    `layers` come from `adapted_layers`; `blocks` maps the name before a block number to the numbers seen;
    `names` are the tensors' names.
    """
    models, counts = group.known()
    known: defaultdict[str, list[str]] = defaultdict(list)
    for name in layers:
        key = _numberless(name)
        if key in counts:
            known[key].append(name)
    if not known:
        return None
    seen = {key: _united_layers([layers[name] for name in alike]) for key, alike in known.items()}
    left = [
        model
        for model in models
        if seen.keys() <= model.layers.keys()
        and all(blocks.get(name, _NONE) <= _range(last) for name, last in model.last.items())
        and all(_fits(layer, model.layers[key]) for key, layer in seen.items())
        and all(_is_there(spellings, layers) for spellings in model.has)
        and not any(_is_there(spellings, layers) for spellings in model.lacks)
        and (not model.under or any(name.startswith(model.under) for name in names))
    ]
    whole = [model for model in left if _is_whole(model, blocks)]
    chosen = tuple(whole or left)
    telling = min(known[min(sorted(known), key=counts.__getitem__)])
    return Fitting(chosen, tuple(_fit_reasons(telling, seen[_numberless(telling)], chosen, blocks)))


_NONE: frozenset[int] = frozenset()
#: Kernel sizes in image and video models: none, 2x2 or 1x2x2, 3x3.
_KERNELS = (1, 4, 9)


@functools.lru_cache(maxsize=_NAMES)
def _numberless(name: str) -> str:
    """A layer's name as the rules spell it; older diffusers put adapters into attention processors."""
    return _NUMBER.sub("#", name.replace("_processor_", "_"))


@functools.cache
def _range(last: int) -> frozenset[int]:
    return frozenset(range(last + 1))


def _is_there(spellings: Iterable[Name], layers: Iterable[str]) -> bool:
    return any(spelling.fits(name, "") for spelling in spellings for name in layers)


def _united_layers(layers: Sequence[Layer]) -> Layer:
    if len(layers) == 1:
        return layers[0]
    return Layer(
        frozenset().union(*(layer.inputs for layer in layers)),
        frozenset().union(*(layer.outputs for layer in layers)),
        any(layer.may_be_flat for layer in layers),
    )


def _fits(layer: Layer, pairs: frozenset[tuple[int, int]]) -> bool:
    """Whether the model's layer allows every size seen."""
    if _agree(layer.inputs, layer.outputs, pairs):
        return True
    return layer.may_be_flat and _agree(frozenset(map(_unflat, layer.inputs)), layer.outputs, pairs)


def _unflat(lengths: frozenset[int]) -> frozenset[int]:
    """The inputs that these lengths could mean in a convolution."""
    return frozenset(length // kernel for length in lengths for kernel in _KERNELS if length % kernel == 0)


def _agree(
    inputs: frozenset[frozenset[int]],
    outputs: frozenset[frozenset[int]],
    pairs: frozenset[tuple[int, int]],
) -> bool:
    if len(inputs) == len(outputs) == 1:
        (one,), (other,) = inputs, outputs
        return any(pair[0] in one and pair[1] in other for pair in pairs)
    all_inputs, all_outputs = _sides(pairs)
    for choice in inputs:
        if choice.isdisjoint(all_inputs):
            return False
    return all(not choice.isdisjoint(all_outputs) for choice in outputs)


@functools.cache
def _sides(pairs: frozenset[tuple[int, int]]) -> tuple[frozenset[int], frozenset[int]]:
    return frozenset(pair[0] for pair in pairs), frozenset(pair[1] for pair in pairs)


def _is_whole(model: RuleModel, blocks: Mapping[str, frozenset[int]]) -> bool:
    """Whether every stack of blocks that occurs is complete."""
    stacks = [(blocks[name], last) for name, last in model.last.items() if name in blocks]
    return bool(stacks) and all(numbers == _range(last) for numbers, last in stacks)


def _fit_reasons(
    telling: str, layer: Layer, chosen: Sequence[RuleModel], blocks: Mapping[str, frozenset[int]]
) -> Iterable[str]:
    """Give the reasons: the layer that the fewest models have, and the highest block numbers."""
    inputs = sorted({length for choice in layer.inputs for length in choice})
    what = f"{telling}[in] = {', '.join(map(str, inputs))}" if inputs else telling
    if not chosen:
        yield f"{what}, but in no size that a known model has"
        return
    yield what
    for name in sorted({name for model in chosen for name in model.last if name in blocks}):
        yield f"{name} up to {max(blocks[name])}"


# --- Outline: tensor names with numbers collapsed, one pattern per repeated block

#: Matches the digit first, then looks behind: digits are rare, so this is twice as fast as the reverse.
_NUMBER_ABOVE_1 = re.compile(r"[1-9](?<=[_.].)(?:[0-9]++|(?<=[2-9]))(?=[_.\n])")
#: The first whole number in a name, and the text before it.
_BLOCK = re.compile(r"^([^\n]{1,100}?)[_.]([0-9]{1,4})[_.]", re.MULTILINE)
#: Names rewritten at once, joined into one text: takes a fifth of the time of one by one.
_AT_ONCE = 200
#: Texts cached, and the most characters of one: LoRAs of one trainer have the same names at any rank.
_TEXTS = 256
_MAX_TEXT = 40_000


class Outline(NamedTuple):
    """All tensors, a count for each (line, dtype, shape), and the block numbers.

    A line is a tensor's name with every whole number above 1 replaced by N. `blocks` maps the text before the
    first whole number of a name to the numbers seen there.
    """

    tensors: Sequence[Tensor]
    alike: Mapping[tuple[str, str, tuple[int, ...]], int]
    blocks: Mapping[str, frozenset[int]]


class _Changed(NamedTuple):
    lines: tuple[str, ...]
    blocks: Mapping[str, frozenset[int]]


def outline(tensors: Sequence[Tensor]) -> Outline:
    """Outline these tensors; their order does not matter."""
    names, dtypes, shapes = zip(*tensors, strict=True) if tensors else ((), (), ())
    lines: list[str] = []
    blocks: list[Mapping[str, frozenset[int]]] = []
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        text = "\n".join(some)
        changed = _remembered(text) if len(text) <= _MAX_TEXT else _change(text)
        if len(changed.lines) == len(some):
            lines += changed.lines
            blocks.append(changed.blocks)
        else:  # a name with a line break; no real tensor has one
            alone = [_change(name) for name in some]
            lines += ["\n".join(each.lines) for each in alone]
            blocks += [each.blocks for each in alone if len(each.lines) == 1]
    return Outline(tensors, Counter(zip(lines, dtypes, shapes, strict=True)), _united(blocks))


def _change(text: str) -> _Changed:
    lines = _NUMBER_ABOVE_1.sub("N", f"\n{text}\n")[1:-1].split("\n")
    blocks: defaultdict[str, set[int]] = defaultdict(set)
    for name, number in set(_BLOCK.findall(text)):
        blocks[name].add(int(number))
    return _Changed(tuple(lines), {name: frozenset(numbers) for name, numbers in blocks.items()})


_remembered = functools.lru_cache(maxsize=_TEXTS)(_change)


def _united(all_blocks: Iterable[Mapping[str, frozenset[int]]]) -> dict[str, frozenset[int]]:
    united: dict[str, frozenset[int]] = {}
    for blocks in all_blocks:
        for name, numbers in blocks.items():
            united[name] = united[name] | numbers if name in united else numbers
    return united


# --- Classification

#: Types that pack several numbers, so that their shape is not the layer's: bitsandbytes 4-bit, NVFP4.
_PACKED = frozenset({"U8", "I32"})
_MAX_SHOWN = 120
#: Naming more base models than this helps nobody.
_MAX_ALTERNATIVES = 8


class Verdict(NamedTuple):
    """The classification by tensors. `kind` is checkpoint, diffusion_model, lora, vae, ... or unknown.

    `bases` are the base models that fit, empty if unknown; `like` are others that cannot be distinguished
    from them, `called` broader names in use for them. `rule` is the id of the rule that matched, `evidence`
    the reason in one line.
    """

    kind: str = UNKNOWN
    bases: tuple[str, ...] = ()
    like: tuple[str, ...] = ()
    called: tuple[str, ...] = ()
    rule: str = ""
    evidence: str = ""

    @property
    def base(self) -> str:
        return " / ".join(self.bases)


def classify(outlined: Outline) -> Verdict:
    """Find the kind and base model of a file with these tensors; unknown if no rule matches.

    Takes milliseconds for real headers and linear time for any other. Never raises.
    """
    groups = shipped_rules()
    names = _Names(_shapes(outlined), outlined.blocks)
    for place, group in enumerate(groups):
        verdict = _judge(group, names, outlined, group.prefixes)
        if verdict is None:
            continue
        if group.yields_to is not None:
            for other in groups[place + 1 :]:
                if group.yields_to in other.prefixes and not other.adapters:
                    verdict = _judge(other, names, outlined, (group.yields_to,)) or verdict
        return verdict
    return Verdict()


def _judge(group: Group, tensors: _Names, outlined: Outline, prefixes: Sequence[str]) -> Verdict | None:
    names = tensors
    if group.adapters:
        layers = adapted_layers(outlined.alike, prefixes=prefixes)
        if not layers:
            return None
        blocks = _adapted_blocks(outlined.blocks, prefixes)
        if group.tells_models_apart:
            return _judge_models(group, layers, blocks, tensors.shapes)
        names, prefixes = _Names(_inputs(layers), blocks), ("",)
    for prefix in prefixes:
        stems = names.stems(prefix)
        if not stems:
            continue
        for rule in group.rules:
            if rule.stems is not None and rule.stems.isdisjoint(stems):
                continue
            reasons = _reasons(rule.asks, names, prefix)
            if reasons is not None:
                return _verdict(rule.answer, reasons, group, tensors)
    return None


def _verdict(answer: Answer, reasons: Sequence[str], group: Group, tensors: _Names) -> Verdict:
    kind = answer.kind
    if group.bundle_kind:
        beside = tensors.first(group.bundle_names, "")
        if beside is not None:
            kind = group.bundle_kind
            reasons = [*reasons, f"{_short(beside)} in the same file"]
    return _stated(kind, answer.bases, reasons, like=answer.like, called=answer.called, rule=answer.id)


def _stated(
    kind: str,
    bases: tuple[str, ...],
    reasons: Sequence[str],
    *,
    like: tuple[str, ...] = (),
    called: tuple[str, ...] = (),
    rule: str,
) -> Verdict:
    says = f"{kind}, {' or '.join(bases)}" if bases else kind
    return Verdict(kind, bases, like, called, rule, f"{'; '.join(reasons)} → {says}")


def _judge_models(
    group: Group, layers: Mapping[str, Layer], blocks: Mapping[str, frozenset[int]], names: Collection[str]
) -> Verdict | None:
    """Which of the group's models an adapter of these layers fits; None if none has such layers."""
    fitting = fitting_models(group, layers, blocks, names=names)
    if fitting is None:
        return None
    answers = [model.answer for model in fitting.models]
    bases = tuple(dict.fromkeys(base for answer in answers for base in answer.bases))
    if len(bases) > _MAX_ALTERNATIVES:
        bases = ()
    return _stated(
        group.kind,
        bases,
        [_short(reason) for reason in fitting.reasons],
        like=tuple(
            dict.fromkeys(
                base for answer in answers for base in (*answer.bases, *answer.like) if base not in bases
            )
        ),
        called=tuple(dict.fromkeys(name for answer in answers for name in answer.called)),
        rule=answers[0].id if len(answers) == 1 else group.undecided,
    )


def _adapted_blocks(
    blocks: Mapping[str, frozenset[int]], prefixes: Sequence[str]
) -> dict[str, frozenset[int]]:
    adapted: dict[str, frozenset[int]] = {}
    for name, numbers in blocks.items():
        bare = adapted_name(name, prefixes)
        adapted[bare] = adapted.get(bare, frozenset()) | numbers
    return adapted


def _inputs(layers: Mapping[str, Layer]) -> dict[str, tuple[int, ...]]:
    """The unambiguous input lengths, for rules that ask for `[in]`."""
    return {
        name: tuple(length for choice in layer.inputs if len(choice) == 1 for length in choice)
        for name, layer in layers.items()
    }


def _reasons(condition: Condition, names: _Names, prefix: str) -> list[str] | None:
    """Why the condition holds, as phrases; None if it does not."""
    reasons = []
    for phrase in _phrases(condition, names, prefix):
        if phrase is None:
            return None
        if phrase:
            reasons.append(phrase)
    return reasons


def _phrases(condition: Condition, names: _Names, prefix: str) -> Iterator[str | None]:
    """For each requirement a reason, "" if it is not worth mentioning, or None if it fails."""
    for size in condition.sizes:
        yield names.measured(size, prefix) or None
    for spellings in condition.has:
        name = names.first(spellings, prefix)
        yield None if name is None else _short(name)
    for last in condition.last:
        highest = max(names.last(prefix + name) for name in last.names)
        if last.least:
            yield f"{last.names[0]} up to {highest}" if last.least <= highest <= last.most else None
        else:
            yield "" if highest <= last.most else None
    for spellings in condition.lacks:
        yield f"no {'*'.join(spellings[0].parts)}" if names.first(spellings, prefix) is None else None
    for size in condition.fits:
        yield None if names.measured(size, prefix) is None else ""
    if condition.any:
        chosen = (_reasons(choice, names, prefix) for choice in condition.any)
        yield next(("; ".join(reasons) for reasons in chosen if reasons is not None), None)


class _Names:
    """A file's names, searched under a prefix; the smallest match is returned."""

    __slots__ = ("_blocks", "_sorted", "_stems", "_text", "shapes")

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], blocks: Mapping[str, frozenset[int]]) -> None:
        self.shapes = shapes
        self._blocks = blocks
        self._sorted: list[str] = []
        self._text: str | None = None
        self._stems: dict[str, frozenset[str]] = {}

    def first(self, spellings: Sequence[Name], prefix: str) -> str | None:
        for spelling in spellings:
            found = next(self._fitting(spelling, prefix), None)
            if found is not None:
                return found
        return None

    def stems(self, prefix: str) -> frozenset[str]:
        """The first components of the names under `prefix`."""
        if prefix not in self._stems:
            under: Iterable[str] = self.shapes
            if "." in prefix and prefix.partition(".")[0] not in self.stems(""):
                under = ()
            elif prefix:
                under = [name[len(prefix) :] for name in self.shapes if name.startswith(prefix)]
            self._stems[prefix] = frozenset([name.partition(".")[0] for name in under])
        return self._stems[prefix]

    def last(self, name: str) -> int:
        """The highest number of the blocks with this name, -1 if there are none."""
        return max(self._blocks.get(name, ()), default=-1)

    def measured(self, size: Size, prefix: str) -> str | None:
        """A name and the length that satisfies `size`, as a phrase; "" if no length is seen, None if one does
        not satisfy it."""
        found = ""
        for spelling in size.names:
            for name in self._fitting(spelling, prefix):
                seen = _lengths(self.shapes[name], size.axis)
                if not size.lengths.issuperset(seen):
                    return None
                if seen and not found:
                    found = f"{_short(name)}[{size.axis}] = {min(seen)}"
        return found

    def _fitting(self, spelling: Name, prefix: str) -> Iterator[str]:
        """The matching names in order, lazily: most callers need only the first."""
        if spelling.is_exact:
            name = prefix + spelling.parts[0]
            return iter((name,) if name in self.shapes else ())
        stem, dot, _ = spelling.parts[0].partition(".")
        if dot and stem not in self.stems(prefix):
            return iter(())
        # Most names searched for do not occur: a substring search for each part rules them out.
        text = self._all()
        if prefix not in text or any(part not in text for part in spelling.parts):
            return iter(())
        # Counting in one text is far faster than matching names: the rarest part leaves the fewest to match.
        rarest = min(spelling.parts, key=text.count)
        return (name for name in self._sorted if rarest in name and spelling.fits(name, prefix))

    def _all(self) -> str:
        if self._text is None:
            self._sorted = sorted(self.shapes)
            self._text = "\n".join(self._sorted)
        return self._text


def _lengths(shape: tuple[int, ...], axis: int | str) -> tuple[int, ...]:
    """The lengths that a size's `axis` refers to; scalars and packed numbers have none."""
    if not shape or axis == "in":
        return shape
    if axis == "axes":
        return (len(shape),)
    assert isinstance(axis, int)
    # An axis that the shape does not have gives a length that matches nothing.
    return (shape[axis],) if -len(shape) <= axis < len(shape) else (-1,)


def _shapes(outlined: Outline) -> dict[str, tuple[int, ...]]:
    tensors = outlined.tensors
    if _PACKED.isdisjoint(dtype for _, dtype, _ in outlined.alike):
        shapes = {name: shape for name, _, shape in tensors}
    else:
        shapes = {tensor.name: _shape(tensor) for tensor in tensors}
    if len(shapes) < len(tensors):
        # Equal names differ only in shape: choose one independently of their order.
        for tensor in tensors:
            shapes[tensor.name] = min(shapes[tensor.name], _shape(tensor))
    return shapes


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return () if tensor.dtype in _PACKED else tensor.shape


def _short(name: str) -> str:
    return name if len(name) <= _MAX_SHOWN else f"{name[: _MAX_SHOWN - 1]}…"
