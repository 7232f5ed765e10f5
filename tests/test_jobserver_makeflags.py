"""MAKEFLAGS is taken apart and put together as make itself does it."""

from __future__ import annotations

import os
import subprocess

import pytest
from builds import make_for

from pipegraph.machine.makeflags import MakeFlags, is_plain


@pytest.mark.parametrize(
    ("text", "letters", "options", "definitions", "auth", "jobs"),
    [
        ("", "", (), (), "", None),
        (" -j3 --jobserver-auth=3,4", "", (), (), "3,4", 3),
        (r" -j3 --jobserver-auth=3,4 -- X=a\ b$$$$c\\d", "", (), (r"X=a\ b$$$$c\\d",), "3,4", 3),
        ("ks -j2 --jobserver-auth=fifo:/tmp/GM1 --trace", "ks", ("--trace",), (), "fifo:/tmp/GM1", 2),
        (" --jobserver-fds=5,6 -j", "", (), (), "5,6", None),
        (" --jobserver-auth=1,2 --jobserver-auth=fifo:/a --jobserver-auth=7,8", "", (), (), "7,8", None),
        (" -j4 --jobserver-auth=-2,-2", "", (), (), "-2,-2", 4),
        (" -j1", "", (), (), "", 1),
        ("kj8", "k", (), (), "", 8),
        ("-kj 8 -n", "", ("-k", "-n"), (), "", 8),
        ("j", "", (), (), "", None),
        ("-j 4 -k", "", ("-k",), (), "", 4),
        ("--jobs=6 -k", "", ("-k",), (), "", 6),
        ("--jobs 6", "", (), (), "", 6),
        ("-Oj -fj3", "", ("-Oj", "-fj3"), (), "", None),
        (" -Idir -l2.5 --jobserver-style=pipe", "", ("-Idir", "-l2.5", "--jobserver-style=pipe"), (), "", None),
        ("X=1 -k", "", ("-k",), ("X=1",), "", None),
        (" -- -j3 --jobserver-auth=3,4", "", (), ("-j3", "--jobserver-auth=3,4"), "", None),
        ("  \t -j5\t-k  ", "", ("-k",), (), "", 5),
        ("\\", "\\", (), (), "", None),
    ],
)  # fmt: skip
def test_makeflags_are_read(text, letters, options, definitions, auth, jobs):
    found = MakeFlags.read(text)

    assert found == MakeFlags(letters, options, definitions, auth, jobs)
    assert MakeFlags.read(str(found)) == found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", " -j4 --jobserver-auth=fifo:/p"),
        ("k", "k -j4 --jobserver-auth=fifo:/p"),
        (r"kj9 --jobserver-auth=3,4 -Idir -- X=a\ b", r"k -j4 --jobserver-auth=fifo:/p -Idir -- X=a\ b"),
    ],
)
def test_a_jobserver_takes_the_place_of_another_and_leaves_the_rest(before, after):
    assert str(MakeFlags.read(before).with_jobserver("fifo:/p", 4)) == after


def test_descriptors_are_told_to_the_oldest_make_too():
    assert str(MakeFlags().with_jobserver("3,4", 4)) == " -j4 --jobserver-fds=3,4 --jobserver-auth=3,4"


@pytest.mark.parametrize(
    ("before", "after"),
    [(" -j3 --jobserver-auth=3,4", ""), ("k -j3 --jobserver-fds=3,4 -- X=1", "k -- X=1"), (" -j3 -Id", " -Id")],
)
def test_what_can_not_be_reached_is_not_named(before, after):
    assert str(MakeFlags.read(before).without_jobserver()) == after


@pytest.mark.parametrize("path", ["/tmp/a-b_c.d/e1", "/x/jobserver-1"])
def test_paths_that_need_no_protection(path):
    assert is_plain(path)


@pytest.mark.parametrize("path", ["", "/a b", "/a$b", "/a\\b", "/a\nb", "/a'b", "/ä", "/a#b", "/a;b", "/a*", "/a\n"])
def test_paths_that_one_or_another_would_misread(path):
    assert not is_plain(path)


@pytest.mark.parametrize("style", ["fifo", "descriptors"])
@pytest.mark.parametrize("value", ["a b", "a$$b", r"back\\slash", "x=y", "-j3"])
def test_make_gets_back_what_make_wrote(tmp_path, style, value):
    """What one make tells a recipe, taken apart and put together again, is understood by another."""
    make = make_for(style)
    (tmp_path / "Makefile").write_text("all: ; @printf '%s' \"$$MAKEFLAGS\"\nshow: ; @echo '$(value X) $(X)'\n")
    environment = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    wrote = subprocess.run(
        [make, "-k", f"X={value}", "all"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    ).stdout

    def shown(makeflags):
        ran = subprocess.run(
            [make, "show"], cwd=tmp_path, env={**environment, "MAKEFLAGS": makeflags}, capture_output=True, text=True
        )
        return ran.returncode, ran.stdout, ran.stderr

    assert MakeFlags.read(wrote).definitions
    assert MakeFlags.read(wrote).letters == "k"
    assert shown(str(MakeFlags.read(wrote))) == shown(wrote)
    assert shown(wrote)[0] == 0
