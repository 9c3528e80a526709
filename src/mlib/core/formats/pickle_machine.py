"""Follow a pickle's instructions without doing what they say: nothing is imported, called or looked up.

A pickle is a program for a stack machine. This one keeps the stack and the memo, and where a load would
import or call, it puts down a record. Instructions after CPython's Lib/pickletools.py, protocols 0 to 5.
What Python's own readers refuse may pass here; what this refuses is reported, whatever they think of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlib.core.formats import pickle_calls
from mlib.core.formats.pickle_literals import LITERALS
from mlib.core.formats.pickle_source import EarlyEndError, LimitError, NonsenseError
from mlib.core.formats.pickle_state import Machine
from mlib.core.formats.pickle_values import Call, Pairs

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlib.core.formats.pickle_source import Budget, Source
    from mlib.core.formats.pickle_values import Global, Persistent

_HIGHEST_PROTOCOL = 5
_LONGEST_DIGITS = 40


@dataclass(frozen=True, slots=True)
class Stream:
    """One pickle: the value it builds, the names it imports in order, the keys of things outside it.

    `fault` is None if it was followed to its end at byte `end` of the file, else the reason it was not; then
    `value` is None and the rest is what was found up to there.
    """

    value: object
    protocol: int
    end: int
    globals: tuple[Global, ...]
    persistent: tuple[Persistent, ...]
    fault: EarlyEndError | LimitError | NonsenseError | None


def follow(source: Source, budget: Budget) -> Stream:
    """Follow one pickle from where `source` stands. Raises OSError; whatever else is wrong is the `fault`."""
    machine = Machine(source)
    fault: EarlyEndError | LimitError | NonsenseError | None = None
    value = None
    try:
        _run(machine, budget)
        value = machine.stack.pop()
    except (EarlyEndError, LimitError, NonsenseError) as error:
        fault = error
    except IndexError:
        fault = NonsenseError("an instruction finds nothing on the stack")
    return Stream(
        value=value,
        protocol=machine.protocol,
        end=source.position,
        globals=tuple(machine.globals.values()),
        persistent=tuple(machine.persistent),
        fault=fault,
    )


def _run(machine: Machine, budget: Budget) -> None:
    byte = machine.source.byte
    literals = LITERALS.get
    others = _INSTRUCTIONS.get
    left = budget.instructions
    try:
        while machine.running:
            if left <= 0:
                raise LimitError("too many instructions")
            left -= 1
            code = byte()
            if literal := literals(code):
                machine.stack.append(literal(machine.source))
            elif instruction := others(code):
                instruction(machine)
            else:
                raise NonsenseError(f"no instruction has the number {code}")
    finally:
        budget.instructions = left


def _tuple_of(count: int) -> Callable[[Machine], None]:
    def instruction(machine: Machine) -> None:
        if len(machine.stack) < count:
            raise IndexError
        machine.stack[-count:] = [tuple(machine.stack[-count:])]

    return instruction


def _get(width: int) -> Callable[[Machine], None]:
    return lambda machine: _recall(machine, machine.source.unsigned(width))


def _put(width: int) -> Callable[[Machine], None]:
    return lambda machine: machine.memo.__setitem__(machine.source.unsigned(width), machine.stack[-1])


def _recall(machine: Machine, index: int) -> None:
    try:
        machine.push(machine.memo[index])
    except KeyError:
        raise NonsenseError("an instruction recalls what was never kept") from None


def _index(machine: Machine) -> int:
    digits = machine.source.line()
    if len(digits) > _LONGEST_DIGITS:
        raise NonsenseError("an index with too many digits")
    try:
        return int(digits)
    except ValueError:
        raise NonsenseError("an index that is no number") from None


def _stop(machine: Machine) -> None:
    # Readers of Python differ in where they go on after a frame that is longer than what it holds.
    if machine.frame_end > machine.source.position:
        raise NonsenseError("a frame goes on after the last instruction")
    machine.running = False


def _proto(machine: Machine) -> None:
    machine.protocol = machine.source.byte()
    if machine.protocol > _HIGHEST_PROTOCOL:
        raise NonsenseError(f"no pickle has protocol {machine.protocol}")


def _frame(machine: Machine) -> None:
    length = machine.source.unsigned(8)
    machine.frame_end = max(machine.frame_end, machine.source.position + length)


def _mark(machine: Machine) -> None:
    machine.stacks.append(machine.stack)
    machine.stack = []


def _pop(machine: Machine) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


def _pop_mark(machine: Machine) -> None:
    machine.pop_mark()


def _dup(machine: Machine) -> None:
    machine.push(machine.stack[-1])


def _list(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.push(items)


def _tuple(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.push(tuple(items))


def _dict(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.push(Pairs(_whole_pairs(items)))


def _whole_pairs(items: list[object]) -> list[object]:
    if len(items) % 2:
        raise NonsenseError("a key without a value")
    return items


def _append(machine: Machine) -> None:
    item = machine.stack.pop()
    _extend(machine.stack[-1], [item])


def _appends(machine: Machine) -> None:
    items = machine.pop_mark()
    _extend(machine.stack[-1], items)


def _extend(target: object, items: list[object]) -> None:
    if type(target) is list:
        target.extend(items)


def _set_item(machine: Machine) -> None:
    value = machine.stack.pop()
    key = machine.stack.pop()
    _set_pairs(machine.stack[-1], [key, value])


def _set_items(machine: Machine) -> None:
    items = _whole_pairs(machine.pop_mark())
    _set_pairs(machine.stack[-1], items)


def _set_pairs(target: object, items: list[object]) -> None:
    if isinstance(target, Call):
        if target.pairs is None:
            target.pairs = Pairs()
        target = target.pairs
    if isinstance(target, Pairs):
        target.extend(items)


def _memoize(machine: Machine) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _get_line(machine: Machine) -> None:
    _recall(machine, _index(machine))


def _put_line(machine: Machine) -> None:
    machine.memo[_index(machine)] = machine.stack[-1]


def _nothing(_machine: Machine) -> None:
    pass


_INSTRUCTIONS: dict[int, Callable[[Machine], None]] = {
    ord("."): _stop,
    0x80: _proto,
    0x95: _frame,
    ord("("): _mark,
    ord("0"): _pop,
    ord("1"): _pop_mark,
    ord("2"): _dup,
    0x98: _nothing,
    ord("l"): _list,
    ord("a"): _append,
    ord("e"): _appends,
    0x90: _appends,
    0x91: _list,
    ord("d"): _dict,
    ord("s"): _set_item,
    ord("u"): _set_items,
    ord("t"): _tuple,
    0x85: _tuple_of(1),
    0x86: _tuple_of(2),
    0x87: _tuple_of(3),
    ord("g"): _get_line,
    ord("h"): _get(1),
    ord("j"): _get(4),
    ord("p"): _put_line,
    ord("q"): _put(1),
    ord("r"): _put(4),
    0x94: _memoize,
    ord("c"): pickle_calls.name_in_lines,
    0x93: pickle_calls.name_on_stack,
    0x82: pickle_calls.extension(1),
    0x83: pickle_calls.extension(2),
    0x84: pickle_calls.extension(4),
    ord("R"): pickle_calls.call,
    0x81: pickle_calls.call,
    0x92: pickle_calls.call_with_keywords,
    ord("i"): pickle_calls.call_named,
    ord("o"): pickle_calls.call_marked,
    ord("b"): pickle_calls.set_state,
    ord("P"): pickle_calls.outside_line,
    ord("Q"): pickle_calls.outside_object,
}
