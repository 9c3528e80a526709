"""The table of errors: every code that is raised, and what a face answers for its kind."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mlib
from mlib.cli.output import worded
from mlib.cli.subcommands import NAMES
from mlib.core import errors
from mlib.core.errors import BUSY, CODES, FAILED, NOT_FOUND, REFUSED, USAGE, Hint, MlibError
from mlib.core.sidecars.record import SidecarError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlib.core.errors import Kind

SRC = Path(mlib.__file__).parent
CLASSES = {
    each.__name__: each
    for each in (*vars(errors).values(), SidecarError)
    if isinstance(each, type) and issubclass(each, MlibError)
}
CODE = re.compile(r"[a-z][a-z0-9_]+")


class Module:
    """The source of one module, and the codes of the errors that it makes."""

    def __init__(self, path: Path, constants: dict[str, str]) -> None:
        self.path = path
        self.tree = ast.parse(path.read_text())
        self.constants = constants

    def made(self) -> Iterator[tuple[str, Kind, str]]:
        """Code, kind and place of each error; the code is "" where it cannot be told."""
        for function in [self.tree, *ast.walk(self.tree)]:
            if not isinstance(function, ast.Module | ast.FunctionDef):
                continue
            for node in own(function):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                    continue
                kind = CLASSES.get(node.func.id)
                if kind is None or not node.args:
                    continue
                place = f"{self.path.relative_to(SRC)}:{node.lineno}"
                for code in self.codes(node.args[0], function) or [""]:
                    yield code, kind.kind, place

    def codes(self, node: ast.expr, function: ast.AST) -> list[str]:
        """What an expression that gives a code may be."""
        match node:
            case ast.Constant(value=str(code)):
                return [code]
            case ast.IfExp(body=one, orelse=other):
                return self.codes(one, function) + self.codes(other, function)
            case ast.Attribute(attr="code"):  # of an error that is told again in other words
                return ["same"]
            case ast.Name(id=name):
                return self.named(name, function)
        return []

    def named(self, name: str, function: ast.AST) -> list[str]:
        """What a name may stand for: a constant, a parameter, or what is assigned to it in the function."""
        if name in self.constants:
            return [self.constants[name]]
        found: list[str] = []
        if isinstance(function, ast.FunctionDef) and name in parameters(function):
            defaults = dict(zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True))
            found += [
                code
                for given, default in defaults.items()
                if given.arg == name and default is not None
                for code in self.codes(default, function)
            ]
            for call in ast.walk(self.tree):
                if isinstance(call, ast.Call) and getattr(call.func, "id", None) == function.name:
                    found += [
                        code
                        for keyword in call.keywords
                        if keyword.arg == name
                        for code in self.codes(keyword.value, self.tree)
                    ]
        for node in ast.walk(function):
            match node:
                case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                    found += self.codes(value, function)
                case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                    for target, value in zip(targets, values, strict=True):
                        if isinstance(target, ast.Name) and target.id == name:
                            found += self.codes(value, function)
                case ast.Assign(targets=[ast.Tuple(elts=targets)], value=value) if is_first(targets, name):
                    found += self.first_of_rows(value)
                case ast.For(target=target, iter=rows) if any(
                    is_first(each.elts, name) for each in ast.walk(target) if isinstance(each, ast.Tuple)
                ):
                    found += self.first_of_rows(rows)
        return found

    def first_of_rows(self, rows: ast.expr) -> list[str]:
        """The codes that begin the rows of a table, which is a literal of this module."""
        table = next((each.id for each in ast.walk(rows) if isinstance(each, ast.Name)), None)
        return [
            first.value
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
            if getattr(node.targets[0] if isinstance(node, ast.Assign) else node.target, "id", None) == table
            for row in ast.walk(node.value)
            if isinstance(row, ast.Tuple)
            and isinstance(first := row.elts[0], ast.Constant)
            and isinstance(first.value, str)
            and CODE.fullmatch(first.value)
        ]


def own(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function or module that are not in a function within it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef):
            yield child
            yield from own(child)


def parameters(function: ast.FunctionDef) -> set[str]:
    return {each.arg for each in (*function.args.args, *function.args.kwonlyargs)}


def is_first(targets: list[ast.expr], name: str) -> bool:
    return bool(targets) and isinstance(targets[0], ast.Name) and targets[0].id == name


def constants() -> dict[str, str]:
    """Names of modules that hold a code, wherever they are imported."""
    found: dict[str, str] = {}
    for path in SRC.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(code))):
                    found[name] = code
    return found


def raised() -> dict[str, dict[Kind, str]]:
    """Every code, the kinds of errors it is raised as, and a place for each."""
    known = constants()
    found: dict[str, dict[Kind, str]] = defaultdict(dict)
    for path in sorted(SRC.rglob("*.py")):
        if path.name != "errors.py":
            for code, kind, place in Module(path, known).made():
                found[code].setdefault(kind, place)
    return found


RAISED = raised()


def test_the_code_of_every_error_can_be_told() -> None:
    assert RAISED.get("", {}) == {}


def test_every_code_that_is_raised_is_in_the_table_under_its_kind() -> None:
    unknown = [
        f"{code} ({kind.name}): {place}"
        for code, kinds in RAISED.items()
        for kind, place in kinds.items()
        if code not in ("", "same") and code not in CODES[kind]
    ]
    assert unknown == []


def test_every_code_in_the_table_is_raised_as_what_the_table_says() -> None:
    never = [
        f"{code} ({kind.name})" for kind, codes in CODES.items() for code in codes if kind not in RAISED[code]
    ]
    assert never == []


def test_the_answers_of_the_faces_are_those_of_the_contract() -> None:
    assert {kind: (kind.exit_code, kind.http_status) for kind in CODES} == {
        FAILED: (1, 500),
        USAGE: (2, 400),
        REFUSED: (4, 409),
        NOT_FOUND: (5, 404),
        BUSY: (6, 503),
    }
    assert {each.kind for each in CLASSES.values()} == set(CODES)


# --- Hints name commands as data; each face has its own words for them.

#: What the journal of files calls a command that was run.
RECORDED = {"duplicates --hardlink", "duplicates --trash"}
#: A command line in a text: of this program, or an option that one of its commands has.
OPTIONS = sorted(
    {
        option
        for path in (SRC / "cli").rglob("*.py")
        for option in re.findall(r'"(--[a-z][a-z-]*)', path.read_text())
    }
    | {"--comfyui", "--root", "--set", "--unset", "--map", "--extra-paths", "--no-exclusive"}
)
_OPTION = f"(?:{'|'.join(OPTIONS)})"
COMMAND = re.compile(rf"\bmlib ({'|'.join(NAMES)})\b|`mlib |[\s`(]{_OPTION}|^{_OPTION}\s")


def texts(tree: ast.Module) -> Iterator[ast.Constant]:
    """Every string of a module but its docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node


def test_no_text_below_the_faces_names_a_command_or_an_option() -> None:
    found = [
        f"{path.relative_to(SRC)}:{text.lineno}: {text.value!r}"
        for floor in ("core", "db", "services")
        for path in sorted((SRC / floor).rglob("*.py"))
        for text in texts(ast.parse(path.read_text()))
        if COMMAND.search(str(text.value)) and text.value not in RECORDED
    ]
    assert found == []


@pytest.mark.parametrize(
    "text", ["`mlib scan` reads it", "run mlib restore now", "add --yes to replace it", "--map wants OLD=NEW"]
)
def test_a_command_in_a_text_would_be_found(text: str) -> None:
    assert COMMAND.search(text)


def test_every_hint_has_a_value_for_each_hole() -> None:
    wrong = [
        f"{path.relative_to(SRC)}:{node.lineno}"
        for path in sorted(SRC.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Hint"
        and isinstance(node.args[0], ast.Constant)
        and not any(isinstance(value, ast.Starred) for value in node.args)
        and str(node.args[0].value).count("{}") != len(node.args) - 1
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (None, None),
        ("try again later", "try again later"),
        (Hint("{} is a brace"), "{} is a brace"),
        (Hint("{} lists them", ("pending",)), "`mlib pending` lists them"),
        (Hint("{}", ("doctor", "--fix")), "mlib doctor --fix"),
        (
            Hint("the newest is {}: {}", "a b", ("restore", "--library", "a b")),
            "the newest is a b: mlib restore --library 'a b'",
        ),
        (
            Hint("look at {}, then add {}", ("missing",), ("--yes", "--force")),
            "look at `mlib missing`, then add --yes --force",
        ),
        (Hint("{}; {}", Hint("see {}", ("log",)), "{}"), "see `mlib log`; {}"),
        (Hint("{}", ("mlib", "--library", "FILE", "…")), "mlib --library FILE …"),
    ],
)
def test_the_command_line_words_a_hint(hint: str | Hint | None, words: str | None) -> None:
    assert worded(hint) == words
