"""The first witness: what a file is, by the names and shapes of its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlib.core.kinds.adapters import adapted_layers
from mlib.core.kinds.rulebook import shipped_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlib.core.formats.header import Tensor
    from mlib.core.kinds.outline import Outline
    from mlib.core.kinds.rulebook import Group, Name, Rule, Size

UNKNOWN = "unknown"

_MAX_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Verdict:
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
    names = _Names(_shapes(outlined.tensors))
    for place, group in enumerate(groups):
        verdict = _judge(group, names, outlined, group.prefixes)
        if verdict is None:
            continue
        if group.yields_to is not None:
            for other in groups[place + 1 :]:
                if group.yields_to in other.prefixes:
                    verdict = _judge(other, names, outlined, (group.yields_to,)) or verdict
        return verdict
    return Verdict()


def _judge(group: Group, tensors: _Names, outlined: Outline, prefixes: Sequence[str]) -> Verdict | None:
    names = tensors
    if group.adapters:
        layers = adapted_layers(outlined.alike, prefixes=prefixes)
        if not layers:
            return None
        names, prefixes = _Names(layers), ("",)
    for prefix in prefixes:
        for rule in group.rules:
            reasons = _reasons(rule, names, prefix)
            if reasons is not None:
                return _verdict(rule, reasons, group, tensors)
    return None


def _verdict(rule: Rule, reasons: Sequence[str], group: Group, tensors: _Names) -> Verdict:
    kind = rule.kind
    if group.bundle_kind:
        beside = tensors.first(group.bundle_names, "")
        if beside is not None:
            kind = group.bundle_kind
            reasons = [*reasons, f"{_short(beside)} beside it"]
    says = f"{kind}, {' or '.join(rule.bases)}" if rule.bases else kind
    return Verdict(
        kind=kind,
        bases=rule.bases,
        like=rule.like,
        called=rule.called,
        rule=rule.id,
        evidence=f"{'; '.join(reasons)} → {says}",
    )


def _reasons(rule: Rule, names: _Names, prefix: str) -> list[str] | None:
    """Why the rule holds, a phrase each; None if it does not."""
    reasons = []
    for size in rule.sizes:
        found = names.sized(size, prefix)
        if found is None:
            return None
        reasons.append(found)
    for spellings in rule.has:
        name = names.first(spellings, prefix)
        if name is None:
            return None
        reasons.append(_short(name))
    for spellings in rule.lacks:
        if names.first(spellings, prefix) is not None:
            return None
        reasons.append(f"no {'*'.join(spellings[0].parts)}")
    return reasons


class _Names:
    """All names of a file, to be asked for one under a prefix; of several that fit, the least is answered."""

    __slots__ = ("_sorted", "_text", "shapes")

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = shapes
        self._sorted: list[str] = []
        self._text: str | None = None

    def first(self, spellings: Sequence[Name], prefix: str) -> str | None:
        for spelling in spellings:
            found = next(self._fitting(spelling, prefix), None)
            if found is not None:
                return found
        return None

    def sized(self, size: Size, prefix: str) -> str | None:
        """The name and length that meet `size`, as a phrase."""
        for spelling in size.names:
            for name in self._fitting(spelling, prefix):
                shape = self.shapes[name]
                seen = shape if size.axis is None else _axis(shape, size.axis)
                for length in sorted(size.lengths.intersection(seen)):
                    return f"{_short(name)}[{size.text}] = {length}"
        return None

    def _fitting(self, spelling: Name, prefix: str) -> Iterator[str]:
        """The names that fit, the least first: who asks for one need not look at the others."""
        if spelling.is_exact:
            name = prefix + spelling.parts[0]
            return iter((name,) if name in self.shapes else ())
        if self._text is None:
            self._sorted = sorted(self.shapes)
            self._text = "\n".join(self._sorted)
        # Most names that are looked for are nowhere: a search in one text for each part tells.
        text = self._text
        if prefix not in text or any(part not in text for part in spelling.parts):
            return iter(())
        # Counting in one text is far quicker than trying a name: the rarest part leaves the fewest to try.
        rarest = min(spelling.parts, key=text.count)
        return (name for name in self._sorted if rarest in name and spelling.fits(name, prefix))


def _axis(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (shape[axis],) if -len(shape) <= axis < len(shape) else ()


def _shapes(tensors: Sequence[Tensor]) -> dict[str, tuple[int, ...]]:
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    if len(shapes) < len(tensors):
        # Equal names are told apart by nothing but their shapes: take one that does not hang on the order.
        for tensor in tensors:
            shapes[tensor.name] = min(shapes[tensor.name], tensor.shape)
    return shapes


def _short(name: str) -> str:
    return name if len(name) <= _MAX_SHOWN else f"{name[: _MAX_SHOWN - 1]}…"
