"""How a half-typed command line may go on."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mlib.cli import output
from mlib.core.errors import MlibError, WrongUsage
from mlib.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlib.session import Completes


_TYPES, _TAGS = frozenset({"--type"}), frozenset({"--tag", "--untag"})


def complete(program: Any, line: Sequence[str]) -> None:
    """Print what the last word of a line may become, a candidate a line; nothing where only files fit."""
    words = _words(line[0] if line else "")
    found = [each for each in _candidates(program, words[1:-1], words[-1]) if each.isprintable()]
    output.write_lines(dict.fromkeys(found))


def _words(line: str) -> list[str]:
    """The words of a line as its shell would read them; behind a space begins an empty one."""
    for closing in ("", '"', "'", "\\"):
        with suppress(ValueError):
            words = shlex.split(line + closing)
            return words if len(words) > 1 and (closing or not line[-1:].isspace()) else [*words, ""]
    return ["mlib", ""]


def _candidates(program: Any, words: Sequence[str], begun: str) -> Iterable[str]:
    command, library, waiting = _walk(program, words)
    if command is None:
        return []
    if waiting is not None:
        return _values(waiting, library, begun)
    metavar = " ".join(str(param.metavar) for param in command.params if param.param_type_name == "argument")
    if begun.startswith("-") and "--" not in words and ("QUERY" not in metavar or begun.startswith("--")):
        return _options(command, library, begun)
    verbs = [name for name in getattr(command, "commands", {}) if name.startswith(begun)]
    return [*verbs, *_arguments(metavar, library, begun, with_refs="--sidecars" in words)]


def _options(command: Any, library: str | None, begun: str) -> Iterable[str]:
    """Options, or the values of one that is written as --OPTION=VALUE."""
    name, equals, value = begun.partition("=")
    if equals:
        option = next((param for param in command.params if name in param.opts), None)
        values = [] if option is None else _values(option, library, value)
        return [f"{name}={each}" for each in values]
    options = [name for param in command.params for name in param.opts if name.startswith("--")]
    return [name for name in [*options, "--help"] if name.startswith(begun)]


def _arguments(metavar: str, library: str | None, begun: str, *, with_refs: bool) -> Iterable[str]:
    if "QUERY" in metavar:
        return _query(library, begun)
    if "REF" in metavar or with_refs:
        return _asked(library, "refs", begun)
    if "TAG" in metavar:
        return _asked(library, "tag_names", begun)
    return _folders(metavar, library, begun)


def _walk(program: Any, words: Sequence[str]) -> tuple[Any, str | None, Any]:
    """The command that the words have come to, the library they name, and the option that wants a value."""
    command, library, waiting = program, None, None
    for word in words:
        if waiting is not None:
            library = word if "--library" in waiting.opts else library
            waiting = None
            continue
        option = next((param for param in command.params if word in param.opts), None)
        if option is not None and not getattr(option, "is_flag", True):
            waiting = option
        elif not word.startswith("-"):
            commands = getattr(command, "commands", None)
            if commands is not None:
                command = commands.get(word)
            if command is None:
                break
    return command, library, waiting


def _values(option: Any, library: str | None, begun: str) -> Iterable[str]:
    names = set(option.opts)
    if names & _TYPES:
        return _asked(library, "types", begun)
    if names & _TAGS:
        return _asked(library, "tag_names", begun)
    if "--query" in names:
        return _query(library, begun)
    if folders := _folders(str(option.metavar), library, begun):
        return folders
    return [choice for choice in map(str, getattr(option.type, "choices", ())) if choice.startswith(begun)]


def _folders(metavar: str, library: str | None, begun: str) -> list[str]:
    """What stands before the path where a folder is named with its type."""
    return [f"{name}=" for name in _asked(library, "types", begun)] if "TYPE=DIR" in metavar else []


def _query(library: str | None, begun: str) -> list[str]:
    from mlib.core.query import FIELDS, fold_text

    head, colon, last = begun.rpartition(":")
    field = head.lstrip("-")
    if not colon:
        return [f"{name}:" for name in FIELDS if name.startswith(begun)]
    before, comma, other = last.rpartition(",")
    if comma and before.count('"') % 2 == 0:  # one of several; else a comma within quotes
        head, last = f"{head}:{before}", other
        colon = comma
    last = last.removeprefix('"')
    found = {
        "type": lambda: _asked(library, "types", last),
        "tag": lambda: [_quoted(name) for name in _asked(library, "tag_names", last)],
        "missing": lambda: ["yes", "no"],
        "pending": lambda: ["yes", "no"],
    }.get(field, list)()
    return [
        f"{head}{colon}{value}" for value in found if fold_text(value.strip('"')).startswith(fold_text(last))
    ]


def _quoted(value: str) -> str:
    return (
        value
        if value.replace("-", "").isalnum()
        else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )


def _asked(library: str | None, kind: Completes, begun: str) -> list[str]:
    """What the library has; nothing where it cannot be asked: a shell is no place to complain."""
    from mlib.cli.options import located

    with suppress(MlibError, OSError, ValueError), Session(located(library)) as session:
        return session.complete(kind, begun)
    return []


# --- What makes a shell ask this program how a line may go on.
#
# No shell evaluates what it is told: a file may be called `$(rm -rf ~)`.

_BASH = """\
_mlib_complete() {
    local line=${COMP_LINE:0:COMP_POINT} word i mark
    mapfile -t COMPREPLY < <(command mlib --complete-line "$line" 2>/dev/null)
    # bash takes a word to begin behind the last colon or equals sign, unless it is told not to
    word=${line##*[[:space:]]}
    for i in "${!COMPREPLY[@]}"; do
        local whole=${COMPREPLY[i]} cut=${word%"${word##*[:=]}"}
        [[ $COMP_WORDBREAKS == *:* && -n $cut && $whole == "$cut"* ]] && whole=${whole#"$cut"}
        case ${COMP_WORDS[COMP_CWORD]} in
            # within quotes bash quotes nothing, and closes them itself
            \\"*)
                for mark in '\\' '"' '$' '`'; do whole=${whole//"$mark"/"\\\\$mark"}; done
                COMPREPLY[i]=$whole
                ;;
            \\'*) COMPREPLY[i]=${whole//\\'/\\'\\\\\\'\\'} ;;
            *) printf -v "COMPREPLY[i]" %q "$whole" ;;
        esac
    done
    if (( ${#COMPREPLY[@]} == 1 )) && [[ ${COMPREPLY[0]} == *[:=] ]]; then compopt -o nospace; fi
}
complete -o default -F _mlib_complete mlib"""

_ZSH = """\
#compdef mlib
_mlib() {
    local -a found fields
    # only this command of the line, and its last word up to the cursor, as they are quoted
    local line="${(j: :)words[1,CURRENT-1]} $QIPREFIX$IPREFIX$PREFIX"
    found=("${(@f)$(command mlib --complete-line "$line" 2>/dev/null)}")
    fields=(${(M)found:#*[:=]})
    found=(${${found:#}:#*[:=]})
    if (( ! ${#found} && ! ${#fields} )); then
        _files || { compset -P '*=' && _files }
        return
    fi
    compadd -S '' -a fields
    # the one that is meant may be written otherwise than it was begun: in quotes, in another case
    compadd -a found || { (( ${#found} == 1 )) && compadd -U -a found }
}
if [[ $funcstack[1] == _mlib ]]; then _mlib "$@"; else compdef _mlib mlib; fi"""

_FISH = """\
complete -c mlib -a '(command mlib --complete-line (commandline -cp) 2>/dev/null)'"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
#: Where each looks by itself, below the home directory; zsh once its fpath says so.
_PLACES = {
    "bash": ".local/share/bash-completion/completions/mlib",
    "zsh": ".zfunc/_mlib",
    "fish": ".config/fish/completions/mlib.fish",
}


def script(shell: str) -> str:
    """The text that SHELL is to read. Raises WrongUsage (`unknown_shell`)."""
    if shell not in _SCRIPTS:
        raise WrongUsage("unknown_shell", f"no completion for '{shell}'", hint="use bash, zsh or fish")
    return _SCRIPTS[shell]


def install(shell: str) -> str:
    """Write it where the shell looks; a line for the person. Raises MlibError (`not_installed`)."""
    text = script(shell)
    path = os.path.join(os.path.expanduser("~"), _PLACES[shell])
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        raise MlibError("not_installed", f"cannot write {path}: {error.strerror}") from error
    more = "; add to your .zshrc: fpath+=~/.zfunc; autoload -U compinit && compinit" if shell == "zsh" else ""
    return f"installed {path}; open a new shell to use it{more}"
