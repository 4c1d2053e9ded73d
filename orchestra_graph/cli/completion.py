"""`orchestra completion`: the lines with which a shell completes the words of `orchestra`."""

from __future__ import annotations

import os
from typing import Literal

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete, split_arg_string

from orchestra_graph.cli.report import Report
from orchestra_graph.cli.settings import Settings, command

__all__ = ["Bash", "completion"]

_PROGRAM, _VARIABLE = "orchestra", "_ORCHESTRA_COMPLETE"

_BASH = r"""%(complete_func)s() {
    # The line is read as it was typed: bash itself would cut a word at each ":" and "=", and often at each "@".
    local line="${COMP_LINE:0:COMP_POINT}" cut="" kind value
    local typed="${line##*[[:space:]]}"
    local breaks="${COMP_WORDBREAKS//[^:=@]/}"
    [[ -n "$breaks" && "$typed" == *[$breaks]* ]] && cut="${typed%%%%"${typed##*[$breaks]}"}"
    COMPREPLY=()
    while IFS=',' read -r kind value; do
        case "$kind" in
            dir) compopt -o dirnames 2> /dev/null ;;
            file) compopt -o default 2> /dev/null ;;
            plain) COMPREPLY+=("${value#"$cut"}") ;;
        esac
    done < <(COMP_LINE="$line" %(complete_var)s=bash_complete "$1")
    return 0
}
complete -o nosort -F %(complete_func)s %(prog_name)s 2> /dev/null || complete -F %(complete_func)s %(prog_name)s
"""
"""bash replaces only what follows the last of its word breaks, so that much is cut off what is offered."""


class Bash(BashComplete):
    """Completion for bash that knows words with a colon in them, as targets have, and with an ``@``, as ids have."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that was begun, and that one."""
        line = os.environ.get("COMP_LINE", "")
        words = split_arg_string(line)
        if words and not line[-1:].isspace():
            return words[1:-1], words[-1]
        return words[1:], ""


_SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": ZshComplete, "fish": FishComplete}


@command("completion")
@click.argument("shell", type=click.Choice(list(_SHELLS)))
def completion(settings: Settings, shell: Literal["bash", "zsh", "fish"]) -> Report:
    r"""Print the lines that make a shell complete commands, options, runs, questions and targets.

    \b
    eval "$(orchestra completion bash)"       in ~/.bashrc
    eval "$(orchestra completion zsh)"        in ~/.zshrc, below compinit
    orchestra completion fish | source        in ~/.config/fish/config.fish
    """
    group = click.get_current_context().find_root().command
    made = _SHELLS[shell](group, {}, _PROGRAM, _VARIABLE)
    script = made.source_template % made.source_vars()
    return Report(document={"shell": shell, "script": script}, text=script)
