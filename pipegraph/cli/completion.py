"""``pipegraph completion SHELL``: what makes a shell complete commands, options and the names of jobs.

Made from the parser, so that it never lacks a command. Names are asked of the hidden command ``__names``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import NamedTuple

from .shared import NotThereError, add_status_file, knowledge_of

_OF_NAMES = ("JOB", "FILE", "JOB|FILE", "TARGET")
"""What arguments are called that take names of jobs."""


class _Option(NamedTuple):
    """All its spellings, what it is for, and whether a name of a job follows."""

    spellings: list[str]
    help: str
    takes_names: bool


class _Command(NamedTuple):
    """One command as a shell sees it."""

    name: str
    help: str
    options: list[_Option]
    takes_names: bool


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand, and the hidden one."""
    parser = commands.add_parser(
        "completion",
        help="what makes a shell complete commands and names",
        description="Prints what a shell needs to complete commands, options and the names of jobs.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="bash:  source <(pipegraph completion bash)                                 in ~/.bashrc\n"
        "zsh:   source <(pipegraph completion zsh)                  in ~/.zshrc, behind compinit\n"
        "fish:  pipegraph completion fish > ~/.config/fish/completions/pipegraph.fish       once",
    )
    parser.add_argument("shell", choices=tuple(_SHELLS))
    parser.set_defaults(run=run)
    names = commands.add_parser("__names")
    names.add_argument("prefix", nargs="?", default="")
    add_status_file(names)
    names.set_defaults(run=run_names)


def run(arguments: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    print(*_SHELLS[arguments.shell](list(_commands())), sep="\n")
    return 0


def run_names(arguments: argparse.Namespace) -> int:
    """Print how names that begin so go on, to the next slash; those that a line can't hold are left out."""
    from .names import jobs_by_name

    try:
        names = jobs_by_name(knowledge_of(arguments.status_file).jobs())
    except NotThereError:
        return 0
    prefix = arguments.prefix
    fitting = [name for name in names if name.startswith(prefix) and ":::" not in name and name.isprintable()]
    ends = (name.find("/", len(prefix)) + 1 for name in fitting)
    for name in sorted({name[:end] if end else name for name, end in zip(fitting, ends)}):
        print(name)
    return 0


def _commands() -> Iterator[_Command]:
    from . import parser

    for action in parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            help_of = {action.choices[each.dest]: each.help or "" for each in action._choices_actions}
            for name, command in action.choices.items():
                if command not in help_of:
                    continue  # hidden
                arguments = command._actions
                options = [
                    _Option(list(each.option_strings), each.help or "", each.metavar in _OF_NAMES and each.nargs == "+")
                    for each in arguments
                    if each.option_strings
                ]
                takes_names = any(not each.option_strings and each.metavar in _OF_NAMES for each in arguments)
                yield _Command(name, help_of[command], options, takes_names)


def _bash(commands: list[_Command]) -> Iterator[str]:
    yield """_pipegraph() {
    local word=${COMP_WORDS[COMP_CWORD]} option= command= options= takes= index name
    local -a where=() names=()
    COMPREPLY=()
    for ((index = 1; index < COMP_CWORD; index++)); do
        case ${COMP_WORDS[index]} in
            -C) where=(-C "${COMP_WORDS[index + 1]}"); ((index++)) ;;
            -*) option=${COMP_WORDS[index]} ;;
            *) : "${command:=${COMP_WORDS[index]}}" ;;
        esac
    done
    case $command in"""
    yield f"        '') options='{' '.join(command.name for command in commands)} -C --help --version' ;;"
    for command in commands:
        spellings = " ".join(each for option in command.options for each in option.spellings)
        takes = "; takes=names" if command.takes_names else ""
        yield f"        {command.name}) options='{spellings}'{takes} ;;"
    following = "|".join(sorted(_before_names(commands)))
    yield f"""    esac
    case $option in {following}) takes=names ;; esac
    if [[ $word == -* || -z $command ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
    elif [[ $takes ]]; then
        mapfile -t names < <("${{COMP_WORDS[0]}}" "${{where[@]}}" __names -- "${{word//\\\\/}}" 2>/dev/null)
        for name in "${{names[@]}}"; do
            printf -v name %q "$name"
            COMPREPLY+=("$name")
        done
        [[ ${{#COMPREPLY[@]}} == 1 && ${{COMPREPLY[0]}} == */ ]] && compopt -o nospace
    fi
    [[ ${{#COMPREPLY[@]}} == 0 ]] && compopt -o default
}}
complete -F _pipegraph pipegraph"""


def _zsh(commands: list[_Command]) -> Iterator[str]:
    def described(name: str, text: str) -> str:
        return "'" + f"{name}:{text}".replace("'", "'\\''") + "'"

    yield """#compdef pipegraph
_pipegraph() {
    local command= option= takes= index
    local -a where known flags names
    for (( index = 2; index < CURRENT; index++ )); do
        case $words[index] in
            -C) where=(-C $words[index+1]); (( index++ )) ;;
            -*) option=$words[index] ;;
            *) : ${command:=$words[index]} ;;
        esac
    done
    case $command in"""
    yield "        '') known=(" + " ".join(described(command.name, command.help) for command in commands) + ")"
    yield "            _describe command known; return ;;"
    for command in commands:
        options = " ".join(described(each, option.help) for option in command.options for each in option.spellings)
        yield f"        {command.name}) flags=({options}){'; takes=names' if command.takes_names else ''} ;;"
    yield f"""    esac
    case $option in {"|".join(sorted(_before_names(commands)))}) takes=names ;; esac
    if [[ $PREFIX == -* ]]; then
        _describe option flags
        return
    fi
    [[ -n $takes ]] && names=(${{(f)"$($words[1] $where __names -- "${{(Q)PREFIX}}" 2>/dev/null)"}})
    if (( $#names )); then
        compadd -S '' -- ${{(M)names:#*/}}
        compadd -- ${{names:#*/}}
    else
        _files
    fi
}}
compdef _pipegraph pipegraph"""


def _fish(commands: list[_Command]) -> Iterator[str]:
    def quoted(text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    names = "'(pipegraph __names -- (commandline -ct) 2>/dev/null)'"
    yield "complete -c pipegraph -f"
    yield "complete -c pipegraph -n __fish_use_subcommand -s C -xa '(__fish_complete_directories)'"
    for command in commands:
        of_it = f"complete -c pipegraph -n '__fish_seen_subcommand_from {command.name}'"
        yield f"complete -c pipegraph -n __fish_use_subcommand -a {command.name} -d {quoted(command.help)}"
        yield f"{of_it} -a {names}" if command.takes_names else f"{of_it} -F"
        for option in command.options:
            spelled = " ".join(f"-l {each[2:]}" if each[:2] == "--" else f"-s {each[1:]}" for each in option.spellings)
            yield f"{of_it} {spelled} -d {quoted(option.help)}" + (f" -xa {names}" if option.takes_names else "")


def _before_names(commands: list[_Command]) -> set[str]:
    """The options that a name of a job follows."""
    return {
        each for command in commands for option in command.options if option.takes_names for each in option.spellings
    }


_SHELLS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
