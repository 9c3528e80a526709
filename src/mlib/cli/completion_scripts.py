"""What makes a shell ask this program how a line may go on.

No shell evaluates what it is told: a file may be called `$(rm -rf ~)`.
"""

from __future__ import annotations

import os

from mlib.core.errors import MlibError, WrongUsage

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
        raise WrongUsage("unknown_shell", f"there is no completion for '{shell}'", hint="bash, zsh or fish")
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
    more = (
        "; your .zshrc must say: fpath+=~/.zfunc; autoload -U compinit && compinit" if shell == "zsh" else ""
    )
    return f"completion is in {path}, for shells you open from now on{more}"
