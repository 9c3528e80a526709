"""How the JSON of a safetensors header is written, as patterns over its bytes that never step back."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patterns:
    """`tight` and `loose` are a tensor as writers put it, without and with white space, up to what follows;
    `entry` is one of metadata that has a text for its value; `surrogate` has a group for half a pair.
    """

    tight: re.Pattern[bytes]
    loose: re.Pattern[bytes]
    entry: re.Pattern[bytes]
    key: re.Pattern[bytes]
    opening: re.Pattern[bytes]
    closing: re.Pattern[bytes]
    space: re.Pattern[bytes]
    number: re.Pattern[str]
    shape: re.Pattern[bytes]
    surrogate: re.Pattern[bytes]


@functools.cache
def patterns() -> Patterns:
    """The patterns, compiled when first needed. Grammar after RFC 8259."""
    space = rb"[ \t\n\r]*+"
    # As serde_json has it: half a surrogate pair is no text.
    escape = (
        rb'\\(?:["\\/bfnrt]|u(?:[0-9A-CEFa-cef][0-9A-Fa-f]{3}|[dD][0-7][0-9A-Fa-f]{2}'
        rb"|[dD][89ABab][0-9A-Fa-f]{2}\\u[dD][C-Fc-f][0-9A-Fa-f]{2}))"
    )
    text = rb'"[^"\\\x00-\x1f]*+(?:%b[^"\\\x00-\x1f]*+)*+"' % escape
    number = rb"(0|[1-9][0-9]{0,19}+)"
    tensor = (
        rb'("([^"\\\x00-\x1f]{0,4096}+)"~:~\{~"dtype"~:~"([^"\\\x00-\x1f]{0,64}+)"~,~"shape"~:~\[([^]]{0,512}+)\]'
        rb'~,~"data_offsets"~:~\[~%b~,~%b~\]~\}~([,}])~)' % (number, number)
    )
    return Patterns(
        tight=re.compile(tensor.replace(b"~", b"")),
        loose=re.compile(tensor.replace(b"~", space)),
        entry=re.compile(rb"~(%b)~:~(%b)~([,}])".replace(b"~", space) % (text, text)),
        key=re.compile(rb"~(%b)~:~".replace(b"~", space) % text),
        opening=re.compile(rb"~\{~(\}?+)".replace(b"~", space)),
        closing=re.compile(rb"~([,}])".replace(b"~", space)),
        space=re.compile(space),
        number=re.compile(number.decode()),
        shape=re.compile(rb"~(?:%b~(?:,~%b~)*+)?+".replace(b"~", space) % (number, number)),
        surrogate=re.compile(
            rb"\\\\|\\u[dD][89ABab][0-9A-Fa-f]{2}\\u[dD][C-Fc-f][0-9A-Fa-f]{2}|(\\u[dD][89A-Fa-f])"
        ),
    )
