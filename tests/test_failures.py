"""What is told of a failed job: trace, variables, causes; and what must not be told."""

import builtins
import json
import os
import re
from collections import OrderedDict
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace

import pytest
from engine_world import spec_of

import pipegraph as ppg
from pipegraph.errors import shown
from pipegraph.masking import HIDDEN, is_secret
from pipegraph.model import NOTHING_PRINTED, Failure, FailureKind, Frame, Origin, Printed
from pipegraph.slaves.failures import MESSAGE_BYTES, failure_from
from pipegraph.watchers import describe_failure
from pipegraph.watchers.wording import own_frame

FAILURE = Failure(
    FailureKind.RAISED,
    "builtins.ValueError",
    "no\nsecond line",
    (Frame("s.py", 7, "f", "x = y", (("x", "1"),)),),
)
SECRET = "hunter2-and-more"


def failure_of(function, *arguments):
    try:
        function(*arguments)
    except BaseException as error:
        return failure_from(error)
    raise AssertionError("it did not raise")


def told(failure, printed=NOTHING_PRINTED, **more):
    return describe_failure(spec_of("a", "output"), failure, printed, **more)


def variables_of(failure):
    return dict(own_frame(failure).local_variables)


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[31mb", "a\udc80b", "a\u202eb", "a\x00b", "a\x9bb"])
def test_what_a_terminal_would_obey_is_escaped(text):
    assert "\\" in shown(text)
    assert shown(text).isprintable()
    shown(text).encode()


def test_ordinary_text_stands_as_it_is():
    assert shown("Grün/µ b.txt") == "Grün/µ b.txt"


# --- how it is told


def test_a_failure_is_told_with_place_trace_variables_and_the_last_words():
    text = told(FAILURE, Printed("out\n", "err\n", 4, 300_000, "", "logs/all"), file="logs/this")

    assert text.splitlines() == [
        "a raised",
        "    job:       output, script.py:1",
        "    exception: ValueError: no",
        "    at:        s.py:7 in f",
        "    file:      logs/this",
        "    second line",
        "    trace, the call that failed last:",
        "        s.py:7 in f",
        "            x = y",
        "              x = 1",
        "    stdout, 4 bytes:",
        "        out",
        "    stderr, 300000 bytes, all of it in logs/all, its end:",
        "        err",
    ]


def test_of_long_output_the_end_is_told_or_if_wanted_the_whole():
    printed = Printed("".join(f"line {n}\n" for n in range(100)), "x" * 50_000, 1000, 50_000)
    end, whole = told(FAILURE, printed), told(FAILURE, printed, is_whole=True)

    assert "line 99" in end
    assert "line 69" not in end
    assert "stdout, 1000 bytes, its end:" in end
    assert len(end) < 20_000
    assert "line 0\n" in whole
    assert len(whole) > 50_000


def test_nothing_in_it_moves_a_cursor():
    evil = "a\x1b[2J\u202e"
    frame = Frame(evil, 1, evil, evil, ((evil, evil),), ending=evil)

    text = told(Failure(FailureKind.RAISED, evil, f"{evil}\n{evil}", (frame, frame)), Printed(evil, evil, 1, 1))
    assert all(line.isprintable() for line in text.split("\n"))


def frames(*origins):
    return tuple(Frame(f"{origin.value}.py", n, "f", "", (), origin) for n, origin in enumerate(origins))


def trace_of(*origins):
    text = told(Failure(FailureKind.RAISED, "E", "", frames(*origins)))
    return [line.strip() for line in text.split("trace, the call that failed last:\n")[1].splitlines()]


S, L, P = Origin.SCRIPT, Origin.LIBRARY, Origin.PIPEGRAPH


def test_long_runs_of_library_calls_and_all_of_pipegraphs_are_folded():
    assert trace_of(P, P, S, L, L, L, L, L, L, S, P) == [
        "(2 calls in pipegraph, to pipegraph.py:1 in f)",
        "script.py:2 in f",
        *(f"library.py:{n} in f" for n in range(3, 9)),
        "script.py:9 in f",
        "(1 call in pipegraph, to pipegraph.py:10 in f)",
    ]
    assert trace_of(S, *[L] * 20) == [
        "script.py:0 in f",
        "library.py:1 in f",
        "library.py:2 in f",
        "(16 more calls in libraries)",
        "library.py:19 in f",
        "library.py:20 in f",
    ]


def test_where_it_failed_is_the_innermost_call_of_the_users_own_code():
    def mine():
        json.loads("{")

    failure = failure_of(mine)

    assert re.search(r"\n    at:        \S+test_failures.py:\d+ in mine\n", told(failure))
    assert [frame.origin for frame in failure.frames] == [S, S, L, L, L]
    assert all(not frame.local_variables and not frame.source for frame in failure.frames if frame.origin is L)
    assert failure.frames[1].source == 'json.loads("{")'


def test_what_pipegraph_raises_has_no_place_in_the_users_code_but_that_of_the_call():
    failure = failure_of(lambda: ppg.FileGeneratingJob(5, 5))

    assert failure.frames[-1].origin is P
    assert own_frame(failure).function == "<lambda>"
    assert not failure.frames[-1].local_variables


def test_chained_exceptions_are_told_as_chained_each_with_its_own_calls():
    def read():
        raise KeyError("chr7")

    def first():
        try:
            read()
        except KeyError as error:
            raise ValueError("no such chromosome") from error

    def second():
        try:
            first()
        except ValueError:
            raise OSError("can't go on")  # noqa: B904

    failure = failure_of(second)
    text = told(failure)

    order = [
        *("in first\n", "in read\n", "KeyError: 'chr7', and because of that:\n"),
        *("in second\n", "in first\n", "ValueError: no such chromosome, and while that was handled:\n"),
        *("in failure_of\n", "in second\n"),
    ]
    at = 0
    for part in order:
        at = text.index(part, at) + len(part)
    assert "exception: OSError: can't go on\n" in text
    assert "while handling ValueError: no such chromosome\n    because of KeyError: 'chr7'\n" in text
    assert own_frame(failure).function == "second"


def test_causes_in_a_circle_and_suppressed_ones_end():
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert failure_from(one).message == "one\nbecause of ValueError: two"

    def suppress():
        try:
            raise KeyError("inner")
        except KeyError:
            raise ValueError("outer") from None

    assert failure_of(suppress).message == "outer"


def test_notes_and_the_parts_of_a_group_are_told():
    error = ValueError("no")
    error.__notes__ = ["in sample 7"]
    assert failure_from(error).message == "no\nin sample 7"
    if not hasattr(builtins, "ExceptionGroup"):
        pytest.skip("this Python has no groups")
    group = builtins.ExceptionGroup("several", [KeyError("a")])
    assert failure_from(group).message.endswith("\n- KeyError: 'a'")


def test_a_deep_recursion_is_told_by_its_ends():
    def sink(depth):
        return sink(depth + 1)

    failure = failure_of(sink, 0)

    assert 2 < len(failure.frames) <= 100
    assert failure.frames[0].function == "failure_of"


# --- variables


class Unshowable:
    def __repr__(self):
        raise KeyboardInterrupt


class Verbose:
    def __repr__(self):
        return "v" * 10_000_000


def test_variables_are_bounded_and_one_that_can_not_be_shown_hides_none():
    def make(unshowable, long_text, long_list, verbose, nested):
        after = 1
        raise ValueError(after)

    nested = []
    nested.append(nested)
    found = variables_of(failure_of(make, Unshowable(), "x" * 10_000_000, list(range(10_000)), Verbose(), nested))

    assert found["unshowable"] == "(can't be shown: KeyboardInterrupt)"
    assert found["after"] == "1"
    assert all(len(text) <= 1000 for text in found.values())
    assert found["long_list"].startswith("[0, 1, 2")


def test_all_variables_together_are_bounded_and_those_nearest_to_the_failure_are_shown():
    def sink(depth, text):
        texts = more = again = [f"{depth} {text}"] * 20
        if depth:
            sink(depth - 1, text)
        raise ValueError(len(texts + more + again))

    failure = failure_of(sink, 90, "x" * 900)

    assert sum(len(text) for frame in failure.frames for _, text in frame.local_variables) < 250_000
    assert dict(failure.frames[-1].local_variables)["texts"].startswith("['0 xxx")
    assert dict(failure.frames[1].local_variables)["texts"] == "…"


# --- secrets


@pytest.mark.parametrize(
    "name",
    [
        *("password", "DB_PASSWORD", "passwd", "pwd", "passphrase", "token", "api_token", "accessToken", "csrftoken"),
        *("secret", "client_secret", "apikey", "api_key", "API-KEY", "apiKey", "private_key", "AWS_SECRET_ACCESS_KEY"),
        *("credentials", "auth", "Authorization", "basic_auth", "_token", "session_cookie", "tokens", "http.password"),
    ],
)
def test_names_of_secrets(name):
    assert is_secret(name)


@pytest.mark.parametrize("name", ["author", "authors", "tokenizer", "key", "keys", "compass", "bypass", "path", "x", 5])
def test_names_that_are_none(name):
    assert not is_secret(name)


@dataclass
class Account:
    user: str
    password: str


class Hiding:
    def __init__(self):
        self.api_key = SECRET

    def __repr__(self):
        return f"<client with {self.api_key}>"


class Showing:
    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text


HOLDERS = {
    "a variable": lambda: {"password": SECRET},
    "a variable that is no text": lambda: {"tokens": [SECRET], "auth": ("me", SECRET)},
    "a dict": lambda: {"settings": {"user": "me", "db": {"password": SECRET}}},
    "a subclass of dict": lambda: {"settings": OrderedDict(api_token=SECRET)},
    "the environment": lambda: {"environment": os.environ},
    "an object that shows it": lambda: {"account": Account("me", SECRET), "many": [Account("me", SECRET)]},
    "another kind of object": lambda: {"space": SimpleNamespace(secret=SECRET)},
    "an object that shows it without a name": lambda: {"client": Hiding()},
    "text in JSON": lambda: {"text": json.dumps({"password": SECRET}), "data": json.dumps({"a": {"token": SECRET}})},
    "an address": lambda: {"url": f"postgres://me:{SECRET}@host/db?sslpassword={SECRET}"},
    "a command": lambda: {"command": ["curl", f"--password={SECRET}", "-H", f"Authorization: Bearer {SECRET}"]},
    "bytes": lambda: {"password": SECRET.encode(), "text": f"it is {SECRET}"},
    "text around it": lambda: {"token": SECRET, "text": f"it is {SECRET}", "more": {"x": [f"a {SECRET} b"]}},
    "text cut at its length": lambda: {"token": SECRET, "text": f"{'x' * 240}{SECRET}{'x' * 1000}"},
    "an object cut at its length": lambda: {"token": SECRET, "object": Showing(f"{'x' * 240}{SECRET}{'x' * 1000}")},
    "an object that shows it escaped": lambda: {"token": "hunter2\n", "object": SimpleNamespace(x="a hunter2\n")},
}


@pytest.mark.parametrize("where", HOLDERS)
def test_a_secret_is_not_told_wherever_it_is_held(where, monkeypatch):
    monkeypatch.setattr(os, "environ", type(os.environ)(*os_environ_parts({"API_TOKEN": SECRET, "HOME": "/home/me"})))
    space = HOLDERS[where]()
    names = ", ".join(space)
    exec(f"def run({names}):\n    raise ValueError('no')", globals_ := {})

    failure = failure_of(globals_["run"], *space.values())
    assert "hunter2" not in repr(failure._replace(pickled=b""))
    assert HIDDEN in told(failure)


def os_environ_parts(values):
    data = {os.fsencode(name): os.fsencode(value) for name, value in values.items()}
    return data, os.fsencode, os.fsdecode, os.fsencode, os.fsdecode


@pytest.mark.parametrize("kind", [dict, OrderedDict, MappingProxyType])
def test_what_has_a_key_of_that_name_is_left_out_whole_however_short(kind):
    def run(settings):
        raise ValueError("no")

    settings = kind({"user": "me", "auth": ("me", "12345", 67)})
    assert f"{{'user': 'me', 'auth': {HIDDEN}}}" in variables_of(failure_of(run, settings))["settings"]


def test_a_secret_is_taken_out_of_messages_causes_and_the_lines_of_the_script():
    def connect(password):
        try:
            raise KeyError(f"refused: {password}")
        except KeyError as error:
            raise ValueError(f"can't connect with {password}\nnor with token='{password}'") from error

    def call():
        connect(password="hunter2-and-more")

    failure = failure_of(call)

    assert "hunter2" not in repr(failure._replace(pickled=b""))
    assert f"connect(password={HIDDEN})" in [frame.source for frame in failure.frames]
    assert failure.message.startswith(f"can't connect with {HIDDEN}\nnor with token={HIDDEN}\n")


def test_what_is_no_secret_is_shown_beside_one():
    def run(password, author, settings, pwd):
        here = pwd
        raise ValueError(f"author={author!r} at {here}, {password == author}, token == 5")

    failure = failure_of(run, SECRET, "me", {"user": "me", "password": SECRET}, "/work/here")

    assert variables_of(failure) == {
        "password": HIDDEN,
        "author": "'me'",
        "settings": f"{{'user': 'me', 'password': {HIDDEN}}}",
        "pwd": HIDDEN,
        "here": "'/work/here'",
    }
    assert failure.message == "author='me' at /work/here, False, token == 5"


def test_of_thousands_of_tokens_as_texts_have_them_only_some_are_looked_for():
    def run(tokens):
        raise ValueError("the chromosomes of word_05000 " + "x=y " * 50_000)

    failure = failure_of(run, {n: f"word_{n:05}" for n in range(5_001)})

    assert failure.message.startswith("the chromosomes of word_05000 x=y ")
    assert len(failure.message) <= MESSAGE_BYTES
    assert variables_of(failure)["tokens"] == HIDDEN


def test_the_exception_itself_comes_back_as_it_was():
    def run(password):
        raise ValueError(password)

    assert SECRET.encode() in failure_of(run, SECRET).pickled


# --- whole


def test_a_secret_of_a_job_is_in_none_of_the_files_of_its_run(script):
    script.run(
        """
        ppg.new_pipegraph()
        def fetch(output):
            settings = {"host": "h", "password": "hunter2" + "-and-more"}
            raise ValueError("refused: " + settings["password"])
        ppg.FileGeneratingJob("a", fetch)
        ppg.run_pipegraph()
        """,
        1,
    )

    texts = {path: path.read_text() for path in [*script.folder.rglob("logs/run_0001/**/*.txt")]}
    assert len(texts) == 5
    assert not [path for path, text in texts.items() if "hunter2-and-more" in text]
    assert "hunter2-and-more" not in script.stderr
    assert f"ValueError: refused: {HIDDEN}" in script.errors
    assert "(2 calls in pipegraph, to " in script.errors
