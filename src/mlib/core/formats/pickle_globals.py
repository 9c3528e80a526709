"""What the names that a pickle imports mean for whoever loads it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlib.core.formats.header import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlib.core.formats.pickle_values import Global

#: Names that only make a value: tensors, arrays, containers, dates, paths. Both spellings of Python 2 and 3.
_ALLOWED = tuple(
    re.compile(pattern)
    for pattern in (
        r"collections\.(OrderedDict|defaultdict|Counter|deque)",
        r"(builtins|__builtin__)\.(set|frozenset|list|dict|tuple|slice|x?range|object)",
        r"(builtins|__builtin__)\.(int|long|float|complex|bool|str|unicode|bytes|bytearray)",
        r"(copyreg|copy_reg)\._reconstructor|_codecs\.encode",
        r"argparse\.Namespace|datetime\.(datetime|date|time|timedelta|timezone)",
        r"pathlib\.(Pure)?(Posix|Windows)?Path",
        r"torch\.(cuda\.)?[A-Z][A-Za-z0-9]*Storage|torch\.storage\.(UntypedStorage|TypedStorage)",
        r"torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_from_type_v2",
        r"torch\.(Tensor|Size|device|nn\.parameter\.Parameter|nn\.Parameter)",
        r"torch\.((b?float|u?int|complex|q?u?int)\d+\w*|bool|half|float|double|long|int|short|per_\w+affine)",
        r"torch\.serialization\._get_layout",
        r"torch\.jit\._pickle\.(build_(int|tensor|double|bool)list|restore_type_tag)",
        r"numpy\.(dtype|ndarray|bool_?|u?int\d+|float\d+|complex\d+|str_|bytes_)|numpy\.dtypes\.\w+DType",
        r"numpy\._?core\.(multiarray\.(_reconstruct|scalar)|numeric\._frombuffer)",
    )
)
#: Classes of a TorchScript archive: they lie in the archive and are no Python.
_ARCHIVED = re.compile(r"__torch__\..*")
#: torch's own layers and optimizers: code runs in making them, but torch's.
_TORCH_CLASSES = re.compile(
    r"torch\.(nn\.modules\.\w+|nn\.parallel\.\w+|nn\.parameter|optim\.\w+)\.[A-Z]\w*|torch\.nn\.[A-Z]\w*"
)

#: Packages that get at the system, at other code or at the network.
_DANGEROUS_PACKAGE = re.compile(
    r"""
    os|nt|posix|sys|subprocess|pty|commands|popen2|shutil|signal|tempfile|fileinput|_?io|platform|site|sqlite3
    |socket|ssl|http|httplib|urllib2?|requests|httpx|aiohttp|paramiko|ftplib|smtplib|telnetlib|webbrowser
    |runpy|importlib|imp|pkgutil|zipimport|linecache|code|codeop|types|inspect|gc|_?operator|_?ctypes|cffi
    |_?pickle|cPickle|pickletools|marshal|shelve|dill|cloudpickle|asyncio|multiprocessing|threading|_thread
    |pdb|bdb|timeit|trace|profile|cProfile|doctest|unittest|test|idlelib|lib2to3
    |pip|venv|ensurepip|distutils|setuptools
    """,
    re.VERBOSE,
)
_DANGEROUS_BUILTIN = re.compile(
    r"""
    eval|exec|execfile|compile|open|file|__import__|getattr|setattr|delattr|globals|locals|vars|apply|breakpoint
    |input|raw_input|reload|map|filter|type|super|memoryview
    """,
    re.VERBOSE,
)
_DANGEROUS = re.compile(
    r"""
    torch\.(hub|package|_inductor|_dynamo|fx\.experimental|testing\._internal|jit\.unsupported_tensor_ops)\..*
    |torch\.utils\.(bottleneck|collect_env|cpp_extension|_config_module|data\.datapipes)\..*
    |torch\.((serialization\.|jit\.)?load|_utils\._import_dotted_name|storage\._load_from_bytes|ops\..*)
    |numpy\.(load|(testing|f2py|distutils|ctypeslib|lib\.npyio)\..*)
    |functools\.(partial|partialmethod|reduce)|logging\.config\..*
    """,
    re.VERBOSE,
)
_BUILTINS = ("builtins", "__builtin__", "__builtins__")
_MOST_SHOWN = 200
_MOST_NAMED = 5
_LONGEST_NAMED = 120


@dataclass(frozen=True, slots=True)
class Judgement:
    """Dotted names by what is known of them; `classes` are those of `unknown` that torch itself defines."""

    allowed: tuple[str, ...]
    unknown: tuple[str, ...]
    dangerous: tuple[str, ...]
    classes: frozenset[str]

    def as_details(self) -> Mapping[str, list[str]]:
        """The names by group, sorted; of a group with very many the first."""
        groups = {"allowed": self.allowed, "unknown": self.unknown, "dangerous": self.dangerous}
        return {group: list(names[:_MOST_SHOWN]) for group, names in groups.items()}

    def findings(self) -> list[Finding]:
        """What loading the file could do, the worst only."""
        if self.dangerous:
            names = self.dangerous
            return [
                Finding("may_run_code", f"loading it runs what can do harm: {_listed(names)}", serious=True)
            ]
        strange = tuple(name for name in self.unknown if name not in self.classes)
        if strange:
            message = f"loading it imports code that is not known here: {_listed(strange)}"
            return [Finding("may_run_code", message, serious=True)]
        if self.unknown:
            return [
                Finding("may_run_code", f"loading it builds whole objects of torch: {_listed(self.unknown)}")
            ]
        return []


def judge(names: Iterable[Global], *, archived_classes: bool) -> Judgement:
    """Sort names into allowed, unknown and dangerous; in TorchScript, its `archived_classes` are allowed."""
    allowed, unknown, dangerous, classes = set(), set(), set(), set()
    for found in names:
        path = found.path
        # A dotted name is looked up step by step, so it leads from any module to what that has imported.
        plain = "." not in found.name
        if _is_dangerous(found):
            dangerous.add(path)
        elif plain and _is_allowed(path, archived_classes=archived_classes):
            allowed.add(path)
        else:
            unknown.add(path)
            if plain and _TORCH_CLASSES.fullmatch(path):
                classes.add(path)
    return Judgement(
        allowed=tuple(sorted(allowed)),
        unknown=tuple(sorted(unknown)),
        dangerous=tuple(sorted(dangerous)),
        classes=frozenset(classes),
    )


def _is_allowed(path: str, *, archived_classes: bool) -> bool:
    return any(pattern.fullmatch(path) for pattern in _ALLOWED) or (
        archived_classes and _ARCHIVED.fullmatch(path) is not None
    )


def _is_dangerous(found: Global) -> bool:
    steps = found.name.split(".")
    return bool(
        _DANGEROUS_PACKAGE.fullmatch(found.module.partition(".")[0])
        or _DANGEROUS.fullmatch(found.path)
        or (found.module in _BUILTINS and _DANGEROUS_BUILTIN.fullmatch(found.name))
        or (len(steps) > 1 and any(map(_leads_astray, steps)))
    )


def _leads_astray(step: str) -> bool:
    return bool(
        step.startswith("__") or _DANGEROUS_PACKAGE.fullmatch(step) or _DANGEROUS_BUILTIN.fullmatch(step)
    )


def _listed(names: tuple[str, ...]) -> str:
    named = ", ".join(_cut(name) for name in names[:_MOST_NAMED])
    left = len(names) - _MOST_NAMED
    return f"{named} and {left} more" if left > 0 else named


def _cut(name: str) -> str:
    """A name as long as a real one may be: five untrue ones would be no message any more."""
    return name if len(name) <= _LONGEST_NAMED else f"{name[:_LONGEST_NAMED]}…"
