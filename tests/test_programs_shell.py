"""What is started without a shell does what bash does: the same texts by both, and all that was left is compared."""

import errno
import os
import random
import re
import shutil
import signal
import stat
from pathlib import Path

import pytest

from pipegraph import programs
from pipegraph.programs import Launch, exit_code_of, start
from pipegraph.shell import SHELL, Command, is_understood, without_shell

ENVIRONMENT = {
    **{name: value for name, value in os.environb.items() if not name.startswith(b"BASH")},
    b"BASH_FUNC_defined%%": b"() { echo a function; }",
}
FILES = {
    "in.txt": b"b 2\na 1\n\nlast",
    "a b": b"with a blank\n",
    "it's": b"with a quote\n",
    "é": b"accent\n",
    "big": b"0123456789abcdef\n" * 70_000,
    "-n": b"a dash\n",
    "none": b"",
}
SCRIPTS = {
    "no_hash_bang": "echo of $0 with $#; echo err >&2; exit 3\n",
    "dies": "#!/bin/sh\nkill -$1 $$\n",
    "exits": "#!/bin/sh\ncat\necho $1 >&2\nexit $1\n",
    "closes": "#!/bin/sh\nexec <&- >&-\nsleep 0.05\n",
    "args": "#!/bin/sh\nfor each; do printf '[%s]' \"$each\"; done; readlink /proc/self/fd/0 | tr -d 0-9\n",
}


OF_BASH = re.compile(rb"bash: line \d+: |Terminated$| +\d+ (Done|Hangup|Terminated|Exit|Interrupt|User|Seg)")


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Goes to a fresh folder with the same files, again and again."""
    count = [0]

    def enter():
        count[0] += 1
        folder = tmp_path / "project"
        monkeypatch.chdir(tmp_path)
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        monkeypatch.chdir(folder)
        for name, content in FILES.items():
            Path(name).write_bytes(content)
        for name, content in SCRIPTS.items():
            Path(name).write_text(content)
            Path(name).chmod(0o755)
        os.mkdir("folder")
        os.symlink("in.txt", "link")

    return enter


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def outcome(commands, text=""):
    """The exit code, what was printed, and the files."""
    before = descriptors()
    out, err = [os.open("..", os.O_RDWR | os.O_APPEND | os.O_TMPFILE) for _ in range(2)]
    launch = Launch(commands, ENVIRONMENT, text)
    try:
        pids = start(launch, out, err)
        leader = pids[0]
        assert all(os.getpgid(pid) == leader for pid in pids)
        ends = {pid: os.waitpid(pid, 0)[1] for pid in pids}
        codes = tuple(os.waitstatus_to_exitcode(ends[pid]) for pid in pids)
        code = exit_code_of(codes)
    except OSError as error:
        code = {errno.ENOENT: "missing", errno.EACCES: "missing", errno.EISDIR: "missing"}[error.errno]
    finally:
        printed = [os.pread(each, 1 << 22, 0) for each in (out, err)]
        os.close(out)
        os.close(err)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert descriptors() == before
    files = {path.name: (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) for path in files_here()}
    return code, printed[0], printed[1], files


def files_here():
    return [path for path in Path().iterdir() if path.is_file()]


def assert_same(folders, text):
    commands = without_shell(text)
    assert commands is not None and is_understood(commands, ENVIRONMENT), text
    # Who writes to a part that does not read is ended by SIGPIPE, or has written before: either may happen to both.
    for _ in range(30 if "|" in text else 1):
        folders()
        found = outcome(commands, text)
        folders()
        expected = outcome((Command((*SHELL, text)),))
        # Parts write in any order, and bash adds lines of its own where a signal ended one.
        said = [line for line in expected[2].splitlines() if not OF_BASH.match(line)]
        found = (*found[:2], sorted(found[2].splitlines()), found[3])
        expected = (*expected[:2], sorted(said), expected[3])
        if found == expected or found[0] == "missing":
            break
    if found[0] == "missing":
        assert expected[0] != 0
    else:
        assert found == expected, text


@pytest.mark.parametrize(
    "text",
    [
        "echo made > out",
        "echo",
        "echo a -n  b --help > 'out put'",
        'echo "a  b" \'c $HOME `x` {a,b} * ? [x] ~ # ; & | < > ! \' a"b"c\'d\' "" > out',
        "echo '' '' ''",
        "echo 'two\nlines' > out",
        "echo a \\\n  b \\\n > out",
        "true",
        "false",
        "cat in.txt | tr a b > out",
        "cat < in.txt",
        "< in.txt cat > out",
        "> out < in.txt sort -r",
        "cat link < none | wc -c",
        "cat 'a b' \"it's\" é ./-n",
        "cat 'a'\" \"'b'",
        "cat nothing 2> err",
        "cat nothing in.txt > out 2>&1",
        "cat nothing in.txt 2>&1 | tr a-z A-Z > out",
        "cat nothing in.txt 2> /dev/null | sort > out",
        "cat nothing in.txt > /dev/null 2> /dev/null",
        "cat nothing in.txt 2> err >&2",
        "cat in.txt >&2",
        "cat in.txt 1>&2 2>&1",
        "cat < nothing > out",
        "cat in.txt > folder",
        "cat < folder",
        "cat in.txt > no_folder/x",
        "no_such_program | cat > out",
        "cat in.txt | no_such_program",
        "./folder | cat",
        "./no_hash_bang a b",
        "./no_hash_bang | cat",
        "cat in.txt | ./no_hash_bang a b > out",
        "./args '' \"a b\" 'c'\"d\"e '\t' 'é' \"'\" '\"' '\\' '\\n' | cat",
        "./args < in.txt",
        "cat in.txt | ./args",
        "yes | head -1",
        "yes | head -1 > out",
        "cat big | head -c 10",
        "cat big | tail -n 1 > out",
        "cat big | cat | cat | md5sum",
        "cat big | cat > out",
        "head -c 5 < big | cat",
        "./dies KILL",
        "./dies SEGV | cat",
        "cat in.txt | ./dies TERM",
        "./dies INT | ./dies HUP | cat",
        "./dies USR1 | ./exits 4",
        "./exits 3 < in.txt | ./exits 0 | cat",
        "./exits 3 < in.txt | ./exits 5 | ./exits 0",
        "./exits 3 < in.txt | ./exits 5 2>&1 | ./exits 0",
        "./closes | cat",
        "cat big | ./closes",
        "sleep 0.05 | /bin/true",
        "/bin/true | sleep 0.05",
        "/bin/false | cat > out",
        "/bin/false | /bin/true",
        "cat in.txt|sort|\n\nuniq -c |\\\n cat>out",
        "awk '{ n[$1] += $2 }\nEND { for (x in n) print x, n[x] }' in.txt | sort",
        "sed -e 's/a/\"b\"/; s/$/!/' in.txt",
        "grep -c '' 2 < in.txt",
        "cat 2 >out",
        "./args 2>out",
        "./args '2'>out",
        "./args a2>out",
        "./args a=b c=d --x='y z' %1 @ + , : = ./ 10%",
    ],
)
def test_a_text_does_the_same_with_and_without_bash(folders, text):
    assert_same(folders, text)


PIECES = (
    *("a", "b2", "in.txt", "-x", "--y=z", "é", "=", "%s", "@", "1", "22", "2", "./q", "..", "a:b", "a,b", "+"),
    *(
        "''",
        '""',
        "'a b'",
        '"a  b"',
        "'$HOME'",
        "'\\n'",
        "'\"'",
        '"\'"',
        "'*'",
        "'{a,b}'",
        "'#'",
        "'a\nb'",
        "'\t'",
        '"~"',
    ),
    *(
        "'\udc80\udcff'",
        "'\u202e'",
        "'~'",
        "'-n'",
        "'\\c'",
        "'ß'a\"ü\"",
        "'!'",
        '"#{}[]()<>|&;*?"',
        "'é\u00a0x'",
        "'&1'",
    ),
    *("$x", "*", "\\", "`", "!", "~", "{a,b}", "#", "a#b", "&", ";", "(", "[", "\x0b", "\x01", "'\x7f'", '"$"', '"!"'),
)
STREAMS = (
    *(
        "> out",
        ">out",
        "2> err",
        "2>err",
        "2>&1",
        ">&2",
        "1>out",
        "< in.txt",
        "<'a b'",
        ">'o u t'",
        '2>"e"',
        "> /dev/null",
    ),
    *(
        ">> out",
        "3> x",
        "&> x",
        ">| x",
        "<< x",
        "<<< x",
        "<> x",
        ">& x",
        "> $x",
        "2>&3",
        "0> x",
        ">'out'",
        "> out2",
        "1> &2",
    ),
)
PROGRAMS = (
    "echo",
    "./args",
    "cat",
    "tr a b",
    "sort",
    "./exits 0",
    "./exits 3",
    "/usr/bin/printf '[%s]'",
    "true",
    "wc -c",
)
BLANKS = (" ", " ", " ", "  ", "\t", " \\\n ", "", "\n", "\r")
PIPES = (" | ", "|", " |\n", " | \\\n", " || ", " |& ", "; ", " && ", "\n", "|\t")


def random_text(chance):
    parts = []
    for _ in range(chance.choice((1, 1, 2, 2, 3))):
        part = chance.choice(PROGRAMS)
        plain = PIECES[: chance.choice((17, 40, 40, len(PIECES)))]
        for _ in range(chance.randrange(4)):
            part += chance.choice(BLANKS[: chance.choice((6, 6, 9))])
            part += "".join(chance.choice(plain) for _ in range(chance.choice((1, 1, 1, 2, 3))))
        if chance.random() < 0.4:
            part += chance.choice((" ", " ", "")) + chance.choice(STREAMS[: chance.choice((12, 12, 26))])
        parts.append(part)
    text = parts[0]
    for part in parts[1:]:
        text += chance.choice(PIPES[: chance.choice((4, 4, 10))]) + part
    return chance.choice(("", "", "", " ", "\n", "\x0b")) + text + chance.choice(("", "", "", "\n", " \\", "\xa0"))


@pytest.mark.parametrize("seed", range(4))
def test_generated_texts_that_need_no_shell_do_what_bash_does(folders, seed):
    chance = random.Random(seed)
    direct = 0
    while direct < 75:
        text = random_text(chance)
        commands = without_shell(text)
        if commands is not None:
            direct += 1
            assert_same(folders, text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "cat a; cat b",
            "cat a && cat b",
            "cat a || cat b",
            "cat a &",
            "cat a\ncat b",
            "(cat a)",
            "{ cat a; }",
            "! cat a",
        ),
        *(
            "cat *.txt",
            "cat $x",
            "cat a?",
            "cat [ab]",
            "cat ~/x",
            "cat {a,b}",
            "cat `x`",
            "cat $(x)",
            "cat <(x)",
            "cat a #b",
        ),
        *(
            'cat "$x"',
            'cat "`x`"',
            'cat "a\\b"',
            'cat "a!b"',
            "cat $'a'",
            "cat 'a",
            'cat "a',
            "cat a\\ b",
            "cat a\\\nb",
        ),
        *(
            "x=1 cat a",
            "'x'=1",
            "x=1",
            "cat a >> b",
            "cat a > b > c",
            "cat a > b 2> b",
            "cat a &> b",
            "cat a >| b",
            "cat <> a",
        ),
        *(
            "cat << x",
            "cat <<< x",
            "cat a 3> b",
            "cat 0> b",
            "cat 1< a",
            "cat a 2>&1 > b",
            "cat a 2>&1 > b | c",
            "cat > ''",
        ),
        *(
            "cat a > b | cat",
            "cat a | cat < b",
            "cat a | < b cat",
            "cat a |& cat",
            "| cat",
            "cat |",
            "cat | | cat",
            "",
            " \n",
        ),
        *("cat > /dev/stdout", "cat < /dev/stdin", "cat > /dev/tcp/x/1", "cat > /proc/self/fd/1", "cat < '/dev/fd/0'"),
        *(
            "echo a | cat",
            "cat a | true",
            "false | cat",
            "cat a | echo x > b",
            "echo -n a",
            "echo -e 'a'",
            "echo 'a\\n'",
            "true a",
            "false a",
            "printf x",
            "[ -e x ]",
            "test -e x",
            "cd x",
            "exec x",
        ),
        *(
            "''",
            "'' x",
            "%1",
            "'time' x",
            "env",
            "printenv X",
            "> out",
            "a=b",
            "kill 1",
            "\x0bcat x",
            "cat\xa0x",
            "cat '\x01'",
        ),
        *("cat a\r\n", "cat a \\", "export x", "pwd > out", "'cd' x", '"."  x', "./a=b x"),
    ],
)
def test_in_doubt_it_is_for_bash(text):
    assert without_shell(text) is None


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("defined x", {}),
        ("cat x | defined", {}),
        ("echo x", {b"BASH_FUNC_echo%%": b"() { :; }"}),
        ("cat x", {b"BASH_ENV": b"/etc/setup"}),
        ("cat x", {b"SHELLOPTS": b"noclobber"}),
        ("cat x", {b"BASHOPTS": b"xpg_echo"}),
        ("cat x", {b"PATH": b"~/bin:/bin"}),
    ],
)
def test_variables_that_change_what_bash_makes_of_a_text_leave_it_to_bash(text, changed):
    commands = without_shell(text)
    assert commands is not None and not is_understood(commands, {**ENVIRONMENT, **changed})
    assert is_understood(without_shell("cat x"), ENVIRONMENT)


def test_without_a_path_programs_are_looked_for_by_bash():
    assert not is_understood(without_shell("cat x"), {})


def test_a_built_in_whose_program_is_not_there_is_left_to_bash(monkeypatch, tmp_path):
    commands = without_shell("echo x")
    monkeypatch.setitem(programs.TWINS, "echo", str(tmp_path / "echo"))

    assert not is_understood(commands, ENVIRONMENT)


def test_what_may_wait_for_somebody_else_when_it_is_opened_is_opened_by_bash(folders):
    """A named pipe would keep the slave itself waiting; what a link leads to is looked at by nobody."""
    folders()
    os.mkfifo("fifo")
    for text in ("cat < fifo > out", "cat in.txt > fifo", "cat in.txt 2> fifo | sort"):
        out = os.open("printed", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        (pid,) = start(Launch(without_shell(text), ENVIRONMENT, text), out, out)
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(out)
    text = "cat < link"
    out = os.open("printed", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    (pid,) = start(Launch(without_shell(text), ENVIRONMENT, text), out, out)
    assert os.waitpid(pid, 0)[1] == 0 and os.pread(out, 100, 0) == FILES["in.txt"]
    os.close(out)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("has_own_group", [True, False])
def test_if_a_part_can_not_be_started_no_other_is_left(folders, monkeypatch, number, has_own_group):
    folders()
    spawn = os.posix_spawnp
    begun = []

    def fail(*args, **keywords):
        if len(begun) == number:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        begun.append(spawn(*args, **keywords))
        return begun[-1]

    monkeypatch.setattr(os, "posix_spawnp", fail)
    before = descriptors()
    text = "sleep 1000 | sleep 1000 | sleep 1000 | sleep 1000"
    with pytest.raises(BlockingIOError):
        start(Launch(without_shell(text), ENVIRONMENT, text), 1, 2, has_own_group)

    assert len(begun) == number and descriptors() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_if_there_is_no_room_for_another_open_file_nothing_is_begun(folders):
    import resource

    folders()
    before = descriptors()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = "cat in.txt | cat | cat | cat > out"
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 4, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            start(Launch(without_shell(text), ENVIRONMENT, text), 1, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert descriptors() == before and not Path("out").exists()
