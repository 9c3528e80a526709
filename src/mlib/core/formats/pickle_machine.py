"""Trace a pickle's opcodes without executing them: nothing is imported, called or looked up.

A pickle is a program for a stack machine. This one keeps the stack and the memo; where loading would import
or call, it records that instead. Opcodes after CPython's Lib/pickletools.py, protocols 0 to 5. It may accept
what Python's own readers refuse; whatever it refuses is reported, even if they accept it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Final

from mlib.core.formats.pickle_source import EarlyEndError, LimitError, NonsenseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlib.core.formats.pickle_source import Budget, Source


# --- Inert values: records of the objects that loading would build
#
# Numbers, None and booleans stand for themselves, text for its undecoded UTF-8 bytes, lists and sets are
# lists, tuples are tuples. No container is ever hashed or compared: a file could make that recurse forever.


class Opaque:
    """A value that is not needed: bytes, or a huge text or number."""

    __slots__ = ()


OPAQUE: Final = Opaque()


class Pairs(list[object]):
    """A dict as a flat list (key, value, key, value, ...) in the order of assignment."""

    __slots__ = ()


class Global:
    """A name that loading would import, as `module` and `name`."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    @property
    def path(self) -> str:
        return f"{self.module}.{self.name}"


class Call:
    """An object that loading would create by calling `function`, and the items and state set on it."""

    __slots__ = ("args", "function", "pairs", "state")

    def __init__(self, function: object, args: object) -> None:
        self.function = function
        self.args = args
        self.pairs: Pairs | None = None
        self.state: object = None

    @property
    def path(self) -> str:
        """The dotted name of the function, or "" if it is itself the result of a call."""
        return self.function.path if isinstance(self.function, Global) else ""


class Persistent:
    """An object outside the pickle, by its persistent id."""

    __slots__ = ("key",)

    def __init__(self, key: object) -> None:
        self.key = key


# --- Opcodes that import, call or refer outside: each is only recorded

_LONGEST_NAME = 500
_MOST_GLOBALS = 10_000
#: Stands for a name that the pickle computes at run time.
COMPUTED = "<computed>"


def extension(width: int) -> Callable[[Machine], None]:
    """Push a name from copyreg's extension registry, which only the loading program has."""
    return lambda machine: _note(machine, b"copyreg extension", b"%d" % machine.source.unsigned(width))


def _note(machine: Machine, module: bytes, name: bytes) -> None:
    found = machine.globals.get((module, name))
    if found is None:
        if len(machine.globals) >= _MOST_GLOBALS:
            raise LimitError("too many imported names")
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
        raise NonsenseError("OBJ opcode without a class")
    machine.push(Call(function, tuple(args)))


def set_state(machine: Machine) -> None:
    state = machine.stack.pop()
    target = machine.stack[-1]
    if isinstance(target, Call):
        target.state = state
    elif isinstance(target, Global):
        raise NonsenseError(f"sets the state of {target.path} itself")


def _persistent(machine: Machine, key: object) -> None:
    outside = Persistent(key)
    machine.persistent.append(outside)
    machine.push(outside)


def outside_line(machine: Machine) -> None:
    _persistent(machine, machine.source.line())


def outside_object(machine: Machine) -> None:
    _persistent(machine, machine.stack.pop())


# --- Opcodes that push a plain value: a number, text or an empty container

_LONGEST_TEXT = 2**16
_LONGEST_LITERAL = 40
_DOUBLE = Struct(">d")
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPES = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_UNCHANGED = (b"\\", b"'", b'"')


def _constant(value: object) -> Callable[[Source], object]:
    return lambda _: value


def _number(width: int, *, signed: bool = False) -> Callable[[Source], object]:
    return lambda source: int.from_bytes(source.take(width), "little", signed=signed)


def _text(width: int) -> Callable[[Source], object]:
    """Read text with a length prefix of `width` bytes."""

    def literal(source: Source) -> object:
        count = source.unsigned(width)
        if count <= _LONGEST_TEXT:
            return source.take(count)
        source.skip(count)
        return OPAQUE

    return literal


def _blob(width: int) -> Callable[[Source], object]:
    """Skip bytes or a long integer with a length prefix of `width` bytes."""

    def literal(source: Source) -> object:
        source.skip(source.unsigned(width))
        return OPAQUE

    return literal


def _decimal(source: Source) -> object:
    """Read a decimal number; `00` and `01` are the booleans of protocol 0."""
    digits = source.line()
    if digits in (b"00", b"01"):
        return digits == b"01"
    if len(digits) > _LONGEST_LITERAL:
        return OPAQUE
    try:
        return int(digits.rstrip(b"L"))
    except ValueError:
        return OPAQUE  # Python also reads other notations, such as hexadecimal


def _float(source: Source) -> object:
    digits = source.line()
    try:
        return float(digits) if len(digits) <= _LONGEST_LITERAL else OPAQUE
    except ValueError:
        return OPAQUE


def _binary_float(source: Source) -> object:
    return _DOUBLE.unpack(source.take(8))[0]


def _long(source: Source) -> object:
    return int.from_bytes(source.take(source.byte()), "little", signed=True)


def _quoted(source: Source) -> object:
    text = source.line().strip(b" \t\r\n\v\f")
    return _ESCAPE.sub(_unescaped, text[1:-1]) if len(text) <= _LONGEST_TEXT else OPAQUE


def _unescaped(match: re.Match[bytes]) -> bytes:
    octal, hexadecimal, character = match.groups()
    if octal:
        return bytes([int(octal, 8) & 0xFF])
    if hexadecimal:
        return bytes([int(hexadecimal, 16)])
    whole: bytes = character if character in _UNCHANGED else match[0]
    return _ESCAPES.get(character, whole)


def _raw_unicode(source: Source) -> object:
    text = source.line()
    if len(text) > _LONGEST_TEXT:
        return OPAQUE
    return text.decode("raw_unicode_escape", "replace").encode("utf-8", "replace")


#: Readers of literals, by opcode.
LITERALS: dict[int, Callable[[Source], object]] = {
    ord("N"): _constant(None), 0x88: _constant(True), 0x89: _constant(False),
    ord("I"): _decimal, ord("L"): _decimal, ord("J"): _number(4, signed=True), ord("K"): _number(1),
    ord("M"): _number(2), 0x8A: _long, 0x8B: _blob(4), ord("F"): _float, ord("G"): _binary_float,
    ord("S"): _quoted, ord("T"): _text(4), ord("U"): _text(1), ord("V"): _raw_unicode, ord("X"): _text(4),
    0x8C: _text(1), 0x8D: _text(8),
    ord("B"): _blob(4), ord("C"): _blob(1), 0x8E: _blob(8), 0x96: _blob(8), 0x97: _constant(OPAQUE),
    ord(")"): _constant(()), ord("]"): lambda _: [], 0x8F: lambda _: [], ord("}"): lambda _: Pairs(),
}  # fmt: skip


# --- The machine


class Machine:
    """The state between two opcodes: stack, memo, and the outside references seen so far."""

    __slots__ = (
        "frame_end", "globals", "memo", "persistent", "protocol", "running", "source", "stack",
        "stacks",
    )  # fmt: skip

    def __init__(self, source: Source) -> None:
        self.source = source
        self.stack: list[object] = []
        self.stacks: list[list[object]] = []  # one per open mark
        self.memo: dict[int, object] = {}
        self.globals: dict[tuple[bytes, bytes], Global] = {}
        self.persistent: list[Persistent] = []
        self.protocol = 0
        self.frame_end = 0
        self.running = True

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop_mark(self) -> list[object]:
        """Pop everything pushed since the last mark."""
        items = self.stack
        self.stack = self.stacks.pop()
        return items


_HIGHEST_PROTOCOL = 5
_LONGEST_DIGITS = 40


@dataclass(frozen=True, slots=True)
class Stream:
    """One traced pickle: the value it builds, the names it imports in order, its persistent ids.

    `fault` is None if it was traced to its end at byte `end` of the file, else the reason it was not; then
    `value` is None and the rest is what was found up to that point.
    """

    value: object
    protocol: int
    end: int
    globals: tuple[Global, ...]
    persistent: tuple[Persistent, ...]
    fault: EarlyEndError | LimitError | NonsenseError | None


def follow(source: Source, budget: Budget) -> Stream:
    """Trace one pickle from the position of `source`. Raises OSError; any other error becomes the `fault`."""
    machine = Machine(source)
    fault: EarlyEndError | LimitError | NonsenseError | None = None
    value = None
    try:
        _run(machine, budget)
        value = machine.stack.pop()
    except (EarlyEndError, LimitError, NonsenseError) as error:
        fault = error
    except IndexError:
        fault = NonsenseError("stack underflow")
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
                raise LimitError("too many opcodes")
            left -= 1
            code = byte()
            if literal := literals(code):
                machine.stack.append(literal(machine.source))
            elif instruction := others(code):
                instruction(machine)
            else:
                raise NonsenseError(f"unknown opcode {code}")
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
        raise NonsenseError("reads a memo entry that was never set") from None


def _index(machine: Machine) -> int:
    digits = machine.source.line()
    if len(digits) > _LONGEST_DIGITS:
        raise NonsenseError("memo index has too many digits")
    try:
        return int(digits)
    except ValueError:
        raise NonsenseError("memo index is not a number") from None


def _stop(machine: Machine) -> None:
    # Python's readers differ in where they continue after a frame that is longer than its content.
    if machine.frame_end > machine.source.position:
        raise NonsenseError("frame extends past the STOP opcode")
    machine.running = False


def _proto(machine: Machine) -> None:
    machine.protocol = machine.source.byte()
    if machine.protocol > _HIGHEST_PROTOCOL:
        raise NonsenseError(f"unknown protocol {machine.protocol}")


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
        raise NonsenseError("dict key without a value")
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
    ord("."): _stop, 0x80: _proto, 0x95: _frame,
    ord("("): _mark, ord("0"): _pop, ord("1"): _pop_mark, ord("2"): _dup, 0x98: _nothing,
    ord("l"): _list, ord("a"): _append, ord("e"): _appends, 0x90: _appends, 0x91: _list,
    ord("d"): _dict, ord("s"): _set_item, ord("u"): _set_items,
    ord("t"): _tuple, 0x85: _tuple_of(1), 0x86: _tuple_of(2), 0x87: _tuple_of(3),
    ord("g"): _get_line, ord("h"): _get(1), ord("j"): _get(4),
    ord("p"): _put_line, ord("q"): _put(1), ord("r"): _put(4), 0x94: _memoize,
    ord("c"): name_in_lines, 0x93: name_on_stack, 0x82: extension(1), 0x83: extension(2), 0x84: extension(4),
    ord("R"): call, 0x81: call, 0x92: call_with_keywords, ord("i"): call_named, ord("o"): call_marked,
    ord("b"): set_state, ord("P"): outside_line, ord("Q"): outside_object,
}  # fmt: skip
