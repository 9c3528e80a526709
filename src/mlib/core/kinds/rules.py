"""The first witness: what a file is, by the names and shapes of its tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlib.core.kinds.adapters import adapted_layers, adapted_name
from mlib.core.kinds.fitting import fitting_models
from mlib.core.kinds.placement import UNKNOWN
from mlib.core.kinds.rulebook import shipped_rules

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from mlib.core.formats.header import Tensor
    from mlib.core.kinds.adapters import Layer
    from mlib.core.kinds.outline import Outline
    from mlib.core.kinds.rulebook import Answer, Condition, Group, Name, Size

#: Types whose shapes are those of packed numbers, not of the layer: 4-bit weights of bitsandbytes, NVFP4.
_PACKED = frozenset({"U8", "I32"})
_MAX_SHOWN = 120
#: Of more base models than these nobody learns anything.
_MAX_ALTERNATIVES = 8


class Verdict(NamedTuple):
    """What the tensors say. `kind` is checkpoint, diffusion_model, lora, vae, ... or unknown.

    `bases` are the base models they fit, none if that is not known; `like` are others that cannot be told
    from these, `called` wider names that are in use for them. `rule` is the id of the rule that held,
    `evidence` one line on why it did.
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
    """The kind and base model of a file with such tensors, in any order; unknown where no rule holds.

    Milliseconds for real headers, and in proportion to their length for any other. Never raises.
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
            reasons = [*reasons, f"{_short(beside)} beside it"]
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
    """Which of the group's models an adapter of these layers fits; None if none of them has such layers."""
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
    """The lengths seen that leave no choice, for rules that ask for `[in]`."""
    return {
        name: tuple(length for choice in layer.inputs if len(choice) == 1 for length in choice)
        for name, layer in layers.items()
    }


def _reasons(condition: Condition, names: _Names, prefix: str) -> list[str] | None:
    """Why the condition holds, a phrase each; None if it does not."""
    reasons = []
    for phrase in _phrases(condition, names, prefix):
        if phrase is None:
            return None
        if phrase:
            reasons.append(phrase)
    return reasons


def _phrases(condition: Condition, names: _Names, prefix: str) -> Iterator[str | None]:
    """Of each thing that is asked why it holds, nothing if that goes without saying, None if it does not."""
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
    """All names of a file, to be asked for one under a prefix; of several that fit, the least is answered."""

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
        """The first parts, up to a dot, of the names under `prefix`; empty if there are none."""
        if prefix not in self._stems:
            under: Iterable[str] = self.shapes
            if "." in prefix and prefix.partition(".")[0] not in self.stems(""):
                under = ()
            elif prefix:
                under = [name[len(prefix) :] for name in self.shapes if name.startswith(prefix)]
            self._stems[prefix] = frozenset([name.partition(".")[0] for name in under])
        return self._stems[prefix]

    def last(self, name: str) -> int:
        """The highest number of the blocks called so, -1 if there is none."""
        return max(self._blocks.get(name, ()), default=-1)

    def measured(self, size: Size, prefix: str) -> str | None:
        """A name and the length that meets `size`, as a phrase; empty if no length is seen, None if one does
        not meet it."""
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
        """The names that fit, the least first: who asks for one need not look at the others."""
        if spelling.is_exact:
            name = prefix + spelling.parts[0]
            return iter((name,) if name in self.shapes else ())
        stem, dot, _ = spelling.parts[0].partition(".")
        if dot and stem not in self.stems(prefix):
            return iter(())
        # Most names that are looked for are nowhere: a search in one text for each part tells.
        text = self._all()
        if prefix not in text or any(part not in text for part in spelling.parts):
            return iter(())
        # Counting in one text is far quicker than trying a name: the rarest part leaves the fewest to try.
        rarest = min(spelling.parts, key=text.count)
        return (name for name in self._sorted if rarest in name and spelling.fits(name, prefix))

    def _all(self) -> str:
        if self._text is None:
            self._sorted = sorted(self.shapes)
            self._text = "\n".join(self._sorted)
        return self._text


def _lengths(shape: tuple[int, ...], axis: int | str) -> tuple[int, ...]:
    """The lengths that `axis` of a size means: of a scalar, and of packed numbers, there are none."""
    if not shape or axis == "in":
        return shape
    if axis == "axes":
        return (len(shape),)
    assert isinstance(axis, int)
    # An axis that a shape of another kind does not have is a length that fits nothing.
    return (shape[axis],) if -len(shape) <= axis < len(shape) else (-1,)


def _shapes(outlined: Outline) -> dict[str, tuple[int, ...]]:
    tensors = outlined.tensors
    if _PACKED.isdisjoint(dtype for _, dtype, _ in outlined.alike):
        shapes = {name: shape for name, _, shape in tensors}
    else:
        shapes = {tensor.name: _shape(tensor) for tensor in tensors}
    if len(shapes) < len(tensors):
        # Equal names are told apart by nothing but their shapes: take one that does not hang on the order.
        for tensor in tensors:
            shapes[tensor.name] = min(shapes[tensor.name], _shape(tensor))
    return shapes


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return () if tensor.dtype in _PACKED else tensor.shape


def _short(name: str) -> str:
    return name if len(name) <= _MAX_SHOWN else f"{name[: _MAX_SHOWN - 1]}…"
