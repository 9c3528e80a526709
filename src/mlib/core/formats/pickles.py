"""Read checkpoints that are pickles, and judge what loading them would run, without loading them.

torch's zip files have a root directory (named after the file they were first saved to) with `data.pkl` and
one file per storage; TorchScript archives also have `code/`. Older torch files are five pickles followed by
the storages. After torch/serialization.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlib.core.formats.header import Finding, Header
from mlib.core.formats.pickle_machine import Pairs, follow
from mlib.core.formats.pickle_source import Budget, EarlyEndError, LimitError, Source
from mlib.core.formats.pickle_tensors import metadata, storages, weights
from mlib.core.formats.zips import NoDirectoryError, ZipError, open_entry, read_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import BinaryIO

    from mlib.core.formats.pickle_machine import Global, Stream
    from mlib.core.formats.pickle_tensors import TensorStorage
    from mlib.core.formats.zips import ZipEntry
    from mlib.core.jsontext import Json


# --- Judging imported names

#: Names that only create values: tensors, arrays, containers, dates, paths; as Python 2 and 3 spell them.
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
#: Classes of a TorchScript archive: they are in the archive and are not Python.
_ARCHIVED = re.compile(r"__torch__\..*")
#: torch's own layers and optimizers: creating them runs code, but only torch's.
_TORCH_CLASSES = re.compile(
    r"torch\.(nn\.modules\.\w+|nn\.parallel\.\w+|nn\.parameter|optim\.\w+)\.[A-Z]\w*|torch\.nn\.[A-Z]\w*"
)

#: Packages that can reach the system, other code or the network.
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
    """Dotted names grouped by risk; `classes` are those of `unknown` that torch itself defines."""

    allowed: tuple[str, ...]
    unknown: tuple[str, ...]
    dangerous: tuple[str, ...]
    classes: frozenset[str]

    def as_details(self) -> Mapping[str, list[str]]:
        """The names by group, sorted; only the first of a very large group."""
        groups = {"allowed": self.allowed, "unknown": self.unknown, "dangerous": self.dangerous}
        return {group: list(names[:_MOST_SHOWN]) for group, names in groups.items()}

    def findings(self) -> list[Finding]:
        """The worst thing that loading the file could do."""
        if self.dangerous:
            names = self.dangerous
            return [
                Finding(
                    "may_run_code", f"loading it would run dangerous code: {_listed(names)}", serious=True
                )
            ]
        strange = tuple(name for name in self.unknown if name not in self.classes)
        if strange:
            message = f"loading it would import modules mlib does not recognise: {_listed(strange)}"
            return [Finding("may_run_code", message, serious=True)]
        if self.unknown:
            return [
                Finding(
                    "may_run_code",
                    f"loading it would build whole torch objects, not just tensors: {_listed(self.unknown)}",
                )
            ]
        return []


def judge(names: Iterable[Global], *, archived_classes: bool) -> Judgement:
    """Sort names into allowed, unknown and dangerous; in TorchScript, its `archived_classes` are allowed."""
    allowed, unknown, dangerous, classes = set(), set(), set(), set()
    for found in names:
        path = found.path
        # A dotted name is resolved attribute by attribute, so it can reach whatever the module imports.
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
    """Shorten a name, so that five made-up ones still make a readable message."""
    return name if len(name) <= _LONGEST_NAMED else f"{name[:_LONGEST_NAMED]}…"


# --- Reading the files

TORCH_ZIP = "torch_zip"
TORCHSCRIPT = "torchscript"
TORCH_LEGACY = "torch_legacy"
PICKLE = "pickle"

_MAX_PICKLE = 64 * 2**20
#: A checkpoint with 3,000 tensors has 100,000.
_MAX_INSTRUCTIONS = 400_000
_MAX_PICKLES = 1_000
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001


@dataclass(slots=True)
class _Found:
    """What has been found so far; `main` is the pickle with the weights."""

    streams: list[Stream] = field(default_factory=list)
    main: Stream | None = None
    details: dict[str, Json] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def bad(self, message: str) -> None:
        self.findings.append(Finding("bad_header", message, serious=True))

    def unseen(self, what: str) -> None:
        message = f"too much to check: {what}; loading it may run code that was not examined"
        self.findings.append(Finding("may_run_code", message, serious=True))

    def truncated(self, message: str) -> None:
        self.findings.append(Finding("truncated", message, serious=True))


def read(file: BinaryIO, size: int, kind: str) -> Header:
    """Read the header of a file of this kind (`torch_zip`, `torchscript`, `torch_legacy`, `pickle`).

    `size` is the file's size in bytes. Nothing in the file is imported or run. `details` has `globals`
    (`allowed`, `unknown`, `dangerous`: the names that loading would import), `protocol`, `storages` (their
    number), and if known `root`, `byteorder`, `wrapper` (the keys around the weights), `code` (the number of
    files of a TorchScript program) and `promised_size`. Raises OSError.
    """
    found = _Found()
    budget = Budget(instructions=_MAX_INSTRUCTIONS, octets=_MAX_PICKLE)
    if kind in (TORCH_ZIP, TORCHSCRIPT):
        _read_zip(file, size, found, budget)
    elif kind == TORCH_LEGACY:
        _read_legacy(file, size, found, budget)
    else:
        found.main = _follow(Source(file, 0, size, budget), budget, found, "the file")
    return _header(kind, found)


def is_whole_pickle(file: BinaryIO, size: int) -> bool:
    """Whether the file's first pickle can be traced to its end, or until a limit. Raises OSError."""
    budget = Budget(instructions=_MAX_INSTRUCTIONS, octets=_MAX_PICKLE)
    fault = follow(Source(file, 0, size, budget), budget).fault
    return fault is None or isinstance(fault, LimitError)


def _follow(source: Source, budget: Budget, found: _Found, what: str) -> Stream:
    stream = follow(source, budget)
    found.streams.append(stream)
    if isinstance(stream.fault, LimitError):
        message = (
            f"{what} is too long to check ({stream.fault}): loading it may run code that was not examined"
        )
        found.findings.append(Finding("may_run_code", message, serious=True))
    elif stream.fault is not None:
        how = "ends early" if isinstance(stream.fault, EarlyEndError) else "is not a valid pickle"
        found.bad(f"{what} {how}: {stream.fault}")
    return stream


def _header(kind: str, found: _Found) -> Header:
    names = [name for stream in found.streams for name in stream.globals]
    judgement = judge(names, archived_classes=kind == TORCHSCRIPT)
    findings = judgement.findings() + found.findings
    if kind == TORCHSCRIPT and not any(finding.code == "may_run_code" for finding in findings):
        findings.append(
            Finding("may_run_code", "a TorchScript archive contains its own program, which loading runs")
        )
    details: dict[str, Json] = {"globals": judgement.as_details(), **found.details}
    if found.main is None:
        return Header(format=kind, details=details, findings=tuple(findings))
    main = found.main
    inside = weights(main.value)
    if inside.incomplete:
        findings.append(Finding("bad_header", "too many tensors, or nested too deeply, to list them all"))
    if inside.wrapper:
        details["wrapper"] = inside.wrapper
    details["protocol"] = main.protocol
    details["storages"] = len(storages(main.persistent))
    return Header(
        format=kind,
        tensors=inside.tensors,
        metadata=metadata(main.value),
        details=details,
        findings=tuple(findings),
    )


def _read_zip(file: BinaryIO, size: int, found: _Found, budget: Budget) -> None:
    try:
        entries = read_directory(file, size)
    except NoDirectoryError as error:
        found.truncated(str(error))
        return
    except ZipError as error:
        found.bad(f"zip archive: {error}")
        return
    root = entries[0].name.partition("/")[0] if entries else ""
    found.details["root"] = root
    if code := sum(entry.name.startswith(f"{root}/code/") for entry in entries):
        found.details["code"] = code
    _follow_entries(file, entries, f"{root}/data.pkl", found, budget)
    sizes = {entry.name: entry.size for entry in entries}
    if order := _byteorder(file, entries, f"{root}/byteorder"):
        found.details["byteorder"] = order
    if found.main is not None:
        _check_storages(storages(found.main.persistent), sizes, f"{root}/data/", found)


def _follow_entries(
    file: BinaryIO, entries: list[ZipEntry], main: str, found: _Found, budget: Budget
) -> None:
    """Trace every pickle of an archive: loaders may pick any, and resolve equal names their own way."""
    pickles = [entry for entry in entries if entry.name.lower().endswith(".pkl")]
    pickles.sort(key=lambda entry: entry.name != main)
    if len({entry.name.lower() for entry in pickles}) < len(pickles):
        found.bad("zip archive: two pickles have the same name")
    if not pickles or pickles[0].name != main:
        found.bad(f"zip archive: no {main[:80]}")
    if len(pickles) > _MAX_PICKLES:
        found.unseen(f"{len(pickles):,} pickles")
    for entry in pickles[:_MAX_PICKLES]:
        try:
            content, start, end = open_entry(file, entry, cap=budget.octets)
        except ZipError as error:
            found.bad(f"zip archive: {error}")
            return
        if content is not file:
            # Charge for decompression even if the bytes are skipped: many entries may share the same data.
            budget.octets -= end - start
        what = entry.name.rpartition("/")[2][:80]
        stream = _follow(Source(content, start, end, budget), budget, found, what)
        if entry.name == main and found.main is None:
            found.main = stream
        if isinstance(stream.fault, LimitError):
            return


def _byteorder(file: BinaryIO, entries: list[ZipEntry], name: str) -> str | None:
    entry = next((entry for entry in entries if entry.name == name), None)
    if entry is None:
        return None
    try:
        content, start, end = open_entry(file, entry, cap=16)
    except ZipError:
        return None
    content.seek(start)
    order = content.read(min(end - start, 16))
    return {b"little": "little", b"big": "big"}.get(order)


def _check_storages(
    wanted: Mapping[str, TensorStorage], sizes: Mapping[str, int], directory: str, found: _Found
) -> None:
    short = sum(sizes.get(directory + key, -1) < storage.size for key, storage in wanted.items())
    if short:
        found.truncated(f"{short} of {len(wanted)} storages are missing or too short")


def _read_legacy(file: BinaryIO, size: int, found: _Found, budget: Budget) -> None:
    """Read magic number, version, system info, the object and the storage keys; the storages follow."""
    position = 0
    streams = []
    for what in (
        "the magic number",
        "the version",
        "the system info",
        "the object",
        "the list of storages",
    ):
        stream = _follow(Source(file, position, size, budget), budget, found, what)
        if stream.fault is not None:
            return
        streams.append(stream)
        position = stream.end
        if what == "the object":
            found.main = stream
    magic, version, system, main, listed = streams
    if magic.value != _LEGACY_MAGIC or version.value != _LEGACY_VERSION:
        found.bad("no torch magic number")
    if order := _little_endian(system.value):
        found.details["byteorder"] = order
    wanted = storages(main.persistent)
    keys = listed.value if type(listed.value) is list else []
    names = {key.decode("utf-8", "replace") for key in keys if isinstance(key, bytes)}
    if names != set(wanted):
        found.bad("the list of storages does not match the object")
        return
    # Each storage begins with its number of elements.
    promised = position + sum(8 + storage.size for storage in wanted.values())
    found.details["promised_size"] = promised
    if promised > size:
        found.truncated(f"the storages end at byte {promised:,}, the file has {size:,}")


def _little_endian(system: object) -> str | None:
    if not isinstance(system, Pairs):
        return None
    for key, value in zip(system[::2], system[1::2], strict=False):
        if isinstance(key, bytes) and key == b"little_endian" and isinstance(value, bool):
            return "little" if value else "big"
    return None
