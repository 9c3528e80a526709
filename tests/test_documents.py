"""Where JSON is made: in `mlib.documents` alone, which every face can use."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mlib

SRC = Path(mlib.__file__).parent
FACES = sorted((SRC / "cli").rglob("*.py"))


def functions(tree: ast.Module) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def is_document(node: ast.expr, within: ast.FunctionDef) -> bool:
    """Whether a value is a call of `documents.…`, or a list or choice of nothing but such calls."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="documents"))):
            return True
        case ast.ListComp(elt=element) | ast.GeneratorExp(elt=element) | ast.Subscript(value=element):
            return is_document(element, within)
        case ast.List(elts=elements):
            return all(is_document(each, within) for each in elements)
        case ast.IfExp(body=one, orelse=other):
            return is_document(one, within) and is_document(other, within)
        case ast.Name(id=name):
            given = list(values(name, within))
            return bool(given) and all(is_document(each, within) for each in given)
    return False


def values(name: str, within: ast.FunctionDef) -> list[ast.expr]:
    """Everything that a local name, or the list it names, is given."""
    found: list[ast.expr] = []
    for node in ast.walk(within):
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                found.append(value)
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if target == name:
                found.append(value)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=target), attr="append"), args=[value]) if (
                target == name
            ):
                found.append(value)
    return found


def json_calls(tree: ast.Module) -> list[tuple[ast.expr, ast.FunctionDef]]:
    return [
        (node.args[0], function)
        for function in functions(tree)
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("write_json", "write_json_lines")
    ]


@pytest.mark.parametrize("path", FACES, ids=lambda path: path.stem)
def test_a_face_prints_only_documents(path: Path) -> None:
    calls = json_calls(ast.parse(path.read_text()))
    assert [ast.unparse(value) for value, function in calls if not is_document(value, function)] == []


def test_every_command_with_json_is_seen() -> None:
    assert sum(len(json_calls(ast.parse(path.read_text()))) for path in FACES) >= 25


@pytest.mark.parametrize(
    "body",
    [
        "output.write_json({})",
        "output.write_json(dict(a=1))",
        "output.write_json([{'a': each} for each in found])",
        "output.write_json(_document(report))",
        "output.write_json({**documents.scan_document(report), 'a': 1})",
        "shown = [{}]\n output.write_json(shown)",
        "shown = []\n shown.append({})\n output.write_json(shown)",
        "output.write_json(documents.a(b) if c else {})",
    ],
)
def test_json_made_by_hand_would_be_found(body: str) -> None:
    ((value, function),) = json_calls(ast.parse(f"def command():\n {body}"))
    assert not is_document(value, function)


def test_documents_need_nothing_above_core() -> None:
    program = "import sys, mlib.documents; print(*sorted(m for m in sys.modules if m.startswith('mlib.')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert {name.split(".")[1] for name in done.stdout.split()} == {"core", "documents"}
