"""The instructions of a pickle that import, call or reach outside: each leaves a record, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core.formats.pickle_source import LimitError, NonsenseError
from mlib.core.formats.pickle_values import Call, Global, Persistent

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlib.core.formats.pickle_state import Machine

_LONGEST_NAME = 500
_MOST_GLOBALS = 10_000
#: Stands for a name that the program puts together only while it runs.
COMPUTED = "<computed>"


def extension(width: int) -> Callable[[Machine], None]:
    """A name from a table that only the loading program has."""
    return lambda machine: _note(machine, b"copyreg extension", b"%d" % machine.source.unsigned(width))


def _note(machine: Machine, module: bytes, name: bytes) -> None:
    found = machine.globals.get((module, name))
    if found is None:
        if len(machine.globals) >= _MOST_GLOBALS:
            raise LimitError("too many names to import")
        found = machine.globals[module, name] = Global(_name(module), _name(name))
    machine.push(found)


def _name(text: bytes) -> str:
    if len(text) > _LONGEST_NAME:
        return text[:_LONGEST_NAME].decode("utf-8", "replace") + "…"
    return text.decode("utf-8", "replace")


def name_in_lines(machine: Machine) -> None:
    module = machine.source.line()
    _note(machine, module, machine.source.line())


def name_on_stack(machine: Machine) -> None:
    name = machine.stack.pop()
    module = machine.stack.pop()
    if isinstance(module, bytes) and isinstance(name, bytes):
        _note(machine, module, name)
    else:
        _note(machine, COMPUTED.encode(), COMPUTED.encode())


def call(machine: Machine) -> None:
    args = machine.stack.pop()
    machine.stack[-1] = Call(machine.stack[-1], args)


def call_with_keywords(machine: Machine) -> None:
    machine.stack.pop()
    call(machine)


def call_named(machine: Machine) -> None:
    args = tuple(machine.pop_mark())
    name_in_lines(machine)
    machine.stack[-1] = Call(machine.stack[-1], args)


def call_marked(machine: Machine) -> None:
    function, *args = machine.pop_mark() or [None]
    if function is None:
        raise NonsenseError("an object of no class")
    machine.push(Call(function, tuple(args)))


def set_state(machine: Machine) -> None:
    state = machine.stack.pop()
    target = machine.stack[-1]
    if isinstance(target, Call):
        target.state = state
    elif isinstance(target, Global):
        raise NonsenseError(f"it changes {target.path} itself")


def _persistent(machine: Machine, key: object) -> None:
    outside = Persistent(key)
    machine.persistent.append(outside)
    machine.push(outside)


def outside_line(machine: Machine) -> None:
    _persistent(machine, machine.source.line())


def outside_object(machine: Machine) -> None:
    _persistent(machine, machine.stack.pop())
