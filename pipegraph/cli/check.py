"""``pipegraph check``: whether all outputs are still what was recorded. Changes nothing, but with ``--twice``."""

from __future__ import annotations

import argparse

from ..errors import shown
from ..machine.amounts import size_of
from .scripts import add_script, script_of
from .shared import add_status_file, counted, knowledge_of

_DIFFERENT = 1


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "check",
        help="whether all files are still what was made; or whether a job makes the same again",
        description="Compares what jobs made with what was recorded, and lists what is missing or changed. Reads "
        "files whose size, time or inode is another, or all. Temporary files may be missing; jobs that no script "
        "declares any more are left out. With --twice: makes a job and what it needs, as a run does, and then calls it "
        "once more, into a folder aside if its callback takes the path, or else in place, while the files that were "
        "made lie beside under other names; if the bytes differ, all that depends on it is made again each time.",
    )
    parser.add_argument("--all", action="store_true", help="read every file, also where nothing speaks for a change")
    parser.add_argument("--twice", metavar="JOB", help="make a job again, aside, and compare the bytes")
    add_status_file(parser)
    add_script(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    if arguments.twice:
        from .twice import check_twice

        return check_twice(arguments.twice, script_of(arguments), arguments.script_arguments)
    from ..invariants import files
    from ..model import Role

    knowledge = knowledge_of(arguments.status_file)
    same = different = read = total = 0
    for job in knowledge.jobs():
        past = knowledge.past(job)
        declared = knowledge.declared(job)
        if past.trace is None or (declared is not None and not declared.scripts):
            continue
        for record in past.trace.outputs:
            try:
                now = files.look(record.path, None if arguments.all else record)
            except FileNotFoundError:
                if declared is not None and declared.role is Role.EPHEMERAL:
                    continue
                verdict = "missing" + (" (the job failed last time)" if past.has_failed else "")
            except OSError as error:
                verdict = f"can't be read: {error.strerror}"
            else:
                read += now is not record
                total += now.size
                verdict = "" if now.content == record.content else "changed"
            if verdict:
                different += 1
                print(f"{shown(record.path)}: {verdict}")
            else:
                same += 1
    if different:
        print(f"{different:,} of {counted(same + different, 'file')} not as recorded")
        return _DIFFERENT
    print(f"{counted(same, 'file')} ({size_of(total)}) as recorded; {read:,} of them had to be read")
    return 0
