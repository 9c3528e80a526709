"""Which kind of model a zip archive holds, told by the names in it. Nothing is unpacked."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from mlib.core.formats.header import Finding, Header
from mlib.core.formats.reading import read_at
from mlib.core.formats.zip_directory import NoDirectoryError, ZipError, read_directory

if TYPE_CHECKING:
    from typing import BinaryIO

_LOCAL = Struct("<4s22xH2x")
_MAX_NAME = 1024


def zip_format(file: BinaryIO, size: int) -> str:
    """`torchscript`, `torch_zip` or `zip`: code or pickled data in the archive's one folder. Raises OSError.

    An archive without its directory (a download cut short) is judged by its first entry: TorchScript puts its
    storages and code there, torch.save the pickle. One with a directory in which programs may see different
    things counts as `torch_zip`: the reader of those refuses it.
    """
    try:
        names = [entry.name for entry in read_directory(file, size)]
    except NoDirectoryError:
        first = _first_name(file)
        if first.partition("/")[2].startswith("data/"):
            return "torchscript"
        names = [first]
    except ZipError:
        return "torch_zip"
    inner = {name.partition("/")[2] for name in names}
    if any(name.startswith("code/") for name in inner):
        return "torchscript"
    return "torch_zip" if "data.pkl" in inner else "zip"


def has_directory(file: BinaryIO, size: int) -> bool:
    """Whether an archive ends with its directory, sound or not. Raises OSError."""
    try:
        read_directory(file, size)
    except NoDirectoryError:
        return False
    except ZipError:
        pass  # there is one to complain of
    return True


def read_zip(file: BinaryIO, size: int) -> Header:
    """An archive that holds no model: whether it is cut short (finding `truncated`). Raises OSError."""
    try:
        read_directory(file, size)
    except NoDirectoryError as error:
        return Header("zip", findings=(Finding("truncated", str(error), serious=True),))
    except ZipError:
        pass  # such archives count as torch_zip
    return Header("zip")


def _first_name(file: BinaryIO) -> str:
    head = read_at(file, 0, _LOCAL.size + _MAX_NAME)
    if len(head) < _LOCAL.size:
        return ""
    length = _LOCAL.unpack_from(head)[1]
    return head[_LOCAL.size : _LOCAL.size + length].decode("utf-8", "replace")
