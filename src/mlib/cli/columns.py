"""The fields of `mlib list`: text for a terminal, exact text for scripts, and `--format` templates."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from mlib.cli import output as fmt
from mlib.cli.layout import Column
from mlib.core import times
from mlib.core.disk.storage import first_present, is_there
from mlib.core.errors import WrongUsage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mlib.db.list_rows import Listed, Part


DEFAULT = ("name", "type", "base", "size", "tags", "sha")


class Field(NamedTuple):
    """One field of a list.

    `exact` is its text in a pipe and in a template, `shown` its text on a terminal if that differs; `part`
    names the data that must have been read.
    """

    exact: Callable[[Listed, Mapping[int | None, str]], str]
    shown: Callable[[Listed], str] | None = None
    part: Part | None = None
    right: bool = False
    shrinks: bool = False


def _path(item: Listed, _: Mapping[int | None, str]) -> str:
    """The path of a present file, else the last known path."""
    file = first_present(item.files)
    return file.path if file else ""


def _marked_path(item: Listed) -> str:
    """The path for a terminal, marked if the file is missing or offline."""
    file = first_present(item.files)
    if file is None:
        return ""
    if file.missing_since is not None:
        return f"{file.path} (missing)"
    return file.path if is_there(file.path) else f"{file.path} (offline)"


def _present(item: Listed) -> int:
    return sum(file.missing_since is None for file in item.files)


def _loader_name(item: Listed, roots: Mapping[int | None, str]) -> str:
    from mlib.services.listing import loader_name

    file = first_present(item.files)
    return (loader_name(file, roots) or "") if file else ""


def _missing_since(item: Listed) -> int | None:
    """When the last file went missing; None if a file is present or none was ever seen."""
    return None if _present(item) else max((file.missing_since or 0 for file in item.files), default=None)


def identifier(item: Listed) -> str:
    """The REF of a row for scripts: its sha256, or pending:ID."""
    return (item.sha256 or "") if item.pending_id is None else f"pending:{item.pending_id}"


def short_identifier(item: Listed) -> str:
    """The REF of a row for a terminal: 10 digits of its sha256, or pending:ID."""
    return identifier(item)[:10] if item.pending_id is None else identifier(item)


def _size(item: Listed) -> str:
    return "" if item.size_bytes is None else str(item.size_bytes)


FIELDS: Mapping[str, Field] = {
    "name": Field(lambda item, _: item.name, shrinks=True),
    "type": Field(lambda item, _: item.type, shrinks=True),
    "base": Field(lambda item, _: item.base_model, shrinks=True),
    "size": Field(lambda item, _: _size(item), lambda item: fmt.size(item.size_bytes), right=True),
    "tags": Field(lambda item, _: ", ".join(item.tags), part="tags", shrinks=True),
    "sha": Field(lambda item, _: identifier(item), short_identifier),
    "sha256": Field(lambda item, _: item.sha256 or ""),
    "sha10": Field(lambda item, _: short_identifier(item)),
    "id": Field(lambda item, _: "" if item.pending_id is None else str(item.pending_id), right=True),
    "path": Field(_path, _marked_path, part="files", shrinks=True),
    "loader_name": Field(_loader_name, part="files", shrinks=True),
    "files": Field(lambda item, _: str(_present(item)), part="files", right=True),
    "present": Field(lambda item, _: "yes" if _present(item) else "no", part="files"),
    "missing_since": Field(lambda item, _: times.iso(_missing_since(item)) or "", part="files"),
    "kind": Field(lambda item, _: item.kind, part="content"),
    "format": Field(lambda item, _: item.format, part="content"),
    "trigger_words": Field(lambda item, _: ", ".join(item.trigger_words), part="content", shrinks=True),
    "findings": Field(lambda item, _: ", ".join(item.findings), part="findings", shrinks=True),
    "notes": Field(lambda item, _: item.notes, part="texts", shrinks=True),
    "description": Field(lambda item, _: item.description, part="texts", shrinks=True),
    "added": Field(lambda item, _: times.iso(item.created_at) or "", lambda item: _day(item.created_at)),
    "updated": Field(lambda item, _: times.iso(item.updated_at) or "", lambda item: _day(item.updated_at)),
}
#: The names that `show --json` uses.
_ALIASES = {
    "base_model": "base", "size_bytes": "size", "created_at": "added", "updated_at": "updated",
    "tag": "tags",
}  # fmt: skip

_HOLE = re.compile(r"\{([^{}]*)\}|\{\{|\}\}|([{}])|\\(.)", re.DOTALL)
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "0": "\0", "\\": "\\"}


def named(names: str) -> tuple[str, ...]:
    """Parse `--columns a,b,c`. Raises WrongUsage (`unknown_field`)."""
    return tuple(_known(name) for name in names.split(","))


def headings(names: Sequence[str]) -> list[Column]:
    """The table columns of these fields."""
    return [Column(name, right=FIELDS[name].right, shrinks=FIELDS[name].shrinks) for name in names]


def parts(names: Sequence[str]) -> set[Part]:
    """The data that must be read for these fields."""
    return {part for name in names if (part := FIELDS[name].part) is not None}


def cells_of(
    items: Iterable[Listed], names: Sequence[str], roots: Mapping[int | None, str], *, exactly: bool
) -> list[list[str]]:
    """The table cells of each item."""
    fields = [FIELDS[name] for name in names]
    if exactly:
        return [[field.exact(item, roots) for field in fields] for item in items]
    return [
        [field.shown(item) if field.shown else field.exact(item, roots) for field in fields] for item in items
    ]


class Template(NamedTuple):
    """A parsed `--format`: literal texts with fields between them."""

    literals: tuple[str, ...]
    names: tuple[str, ...]

    def filled(self, item: Listed, roots: Mapping[int | None, str]) -> str:
        """The text of one row."""
        values = [*(FIELDS[name].exact(item, roots) for name in self.names), ""]
        return "".join(text + value for text, value in zip(self.literals, values, strict=True))


def parse_template(text: str) -> Template:
    r"""Parse a template of `{field}`, `\t`, `\n`, `\0`, and `{{` for a brace.

    Raises WrongUsage (`unknown_field`, `bad_format`).
    """
    literals, names = [""], []
    at = 0
    for match in _HOLE.finditer(text):
        literals[-1] += text[at : match.start()]
        at = match.end()
        field, stray, escape = match.groups()
        if field is not None:
            names.append(_known(field))
            literals.append("")
        elif stray is not None:
            raise WrongUsage(
                "bad_format", f"unmatched '{stray}' in the format", hint="write {{ or }} for a brace"
            )
        elif escape is not None:
            literals[-1] += _ESCAPES.get(escape, "\\" + escape)
        else:
            literals[-1] += match[0][0]
    literals[-1] += text[at:]
    return Template(tuple(literals), tuple(names))


def _known(name: str) -> str:
    plain = name.strip().lower().replace("-", "_")
    plain = _ALIASES.get(plain, plain)
    if plain in FIELDS:
        return plain
    raise WrongUsage("unknown_field", f"unknown field '{name}'", hint=f"fields: {', '.join(FIELDS)}")


def _day(moment: int) -> str:
    return (times.iso(moment) or "")[:10]
