"""Which kind of model a zip archive holds, told by the names in it. Nothing is unpacked."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from mlib.core.formats.reading import read_at
from mlib.core.formats.zip_directory import NoDirectoryError, ZipError, read_directory

if TYPE_CHECKING:
    from typing import BinaryIO

_LOCAL = Struct("<4s22xH2x")
_MAX_NAME = 1024


def zip_format(file: BinaryIO, size: int) -> str:
    """`torchscript`, `torch_zip` or `zip`: code or pickled data in the archive's one folder. Raises OSError.

    An archive without its directory (a download cut short) is judged by its first entry. One with a directory
    in which programs may see different things counts as `torch_zip`: the reader of those refuses it.
    """
    try:
        names = [entry.name for entry in read_directory(file, size)]
    except NoDirectoryError:
        names = [_first_name(file)]
    except ZipError:
        return "torch_zip"
    inner = {name.partition("/")[2] for name in names}
    if any(name.startswith("code/") for name in inner):
        return "torchscript"
    return "torch_zip" if "data.pkl" in inner else "zip"


def _first_name(file: BinaryIO) -> str:
    head = read_at(file, 0, _LOCAL.size + _MAX_NAME)
    if len(head) < _LOCAL.size:
        return ""
    length = _LOCAL.unpack_from(head)[1]
    return head[_LOCAL.size : _LOCAL.size + length].decode("utf-8", "replace")
