"""Shell completion: candidates for a half-typed command line, and the scripts that ask for them."""

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
    """Print the candidates for the last word of a line, one per line; none where a file name is expected."""
    words = _words(line[0] if line else "")
    found = [each for each in _candidates(program, words[1:-1], words[-1]) if each.isprintable()]
    output.write_lines(dict.fromkeys(found))


def _words(line: str) -> list[str]:
    """Split a line into words as the shell does; a trailing space begins an empty word."""
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
    """Candidates for an option, or for the value in --OPTION=VALUE."""
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
    """The command that the words name, the --library among them, and the option whose value comes next."""
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
    """The `TYPE=` prefixes for TYPE=DIR; the shell completes the path."""
    return [f"{name}=" for name in _asked(library, "types", begun)] if "TYPE=DIR" in metavar else []


def _query(library: str | None, begun: str) -> list[str]:
    from mlib.core.query import FIELDS, fold_text

    head, colon, last = begun.rpartition(":")
    field = head.lstrip("-")
    if not colon:
        return [f"{name}:" for name in FIELDS if name.startswith(begun)]
    before, comma, other = last.rpartition(",")
    if comma and before.count('"') % 2 == 0:  # a list of values; else a comma within quotes
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
    """Candidates from the library; none on errors, since they would be printed into the command line."""
    from mlib.cli.options import located

    with suppress(MlibError, OSError, ValueError), Session(located(library)) as session:
        return session.complete(kind, begun)
    return []


# --- Scripts for bash, zsh and fish
#
# None of them evaluates a candidate: a file can be named `$(rm -rf ~)`.

_BASH = """\
_mlib_complete() {
    local line=${COMP_LINE:0:COMP_POINT} word i mark
    mapfile -t COMPREPLY < <(command mlib --complete-line "$line" 2>/dev/null)
    # by default bash starts a new word after a colon or equals sign
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
    # only the current command, with its last word up to the cursor, quoted as typed
    local line="${(j: :)words[1,CURRENT-1]} $QIPREFIX$IPREFIX$PREFIX"
    found=("${(@f)$(command mlib --complete-line "$line" 2>/dev/null)}")
    fields=(${(M)found:#*[:=]})
    found=(${${found:#}:#*[:=]})
    if (( ! ${#found} && ! ${#fields} )); then
        _files || { compset -P '*=' && _files }
        return
    fi
    compadd -S '' -a fields
    # a single candidate may differ from what was typed: in quotes, in another case
    compadd -a found || { (( ${#found} == 1 )) && compadd -U -a found }
}
if [[ $funcstack[1] == _mlib ]]; then _mlib "$@"; else compdef _mlib mlib; fi"""

_FISH = """\
complete -c mlib -a '(command mlib --complete-line (commandline -cp) 2>/dev/null)'"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
#: Where each shell looks for completions, below the home directory; zsh only with ~/.zfunc in its fpath.
_PLACES = {
    "bash": ".local/share/bash-completion/completions/mlib",
    "zsh": ".zfunc/_mlib",
    "fish": ".config/fish/completions/mlib.fish",
}


def script(shell: str) -> str:
    """The completion script for a shell. Raises WrongUsage (`unknown_shell`)."""
    if shell not in _SCRIPTS:
        raise WrongUsage("unknown_shell", f"no completion for '{shell}'", hint="use bash, zsh or fish")
    return _SCRIPTS[shell]


def install(shell: str) -> str:
    """Install the script where the shell looks and return a message. Raises MlibError (`not_installed`)."""
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
