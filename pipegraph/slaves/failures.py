"""Exceptions as plain data: they must come back even if they can't be pickled, unpickled or printed.

Secrets are taken out here, in the job's own process, before anything of them is sent or written: values of variables,
keys, attributes and arguments with names such as password or token, and the same text wherever else it is shown. What
the job prints, and the exception as an object, stay as they are.
"""

from __future__ import annotations

import builtins
import collections
import contextlib
import itertools
import linecache
import os
import pickle
import reprlib
import signal
import types
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from ..errors import CacheDamagedError
from ..invariants.origins import origin_of, shown_file
from ..masking import HIDDEN, is_secret, masked_source, masked_text
from ..model import Damage, Failure, FailureKind, Frame, Origin

MESSAGE_BYTES = 100_000
_PICKLE_BYTES = 1 << 20
_VARIABLES = 50
_VARIABLES_CHARACTERS = 200_000
"""Of all frames together; the innermost are shown first."""
_FRAMES = 100

_RECOGNISED_CHARACTERS = 6
"""Shorter secrets are too often part of something else to be looked for."""
_SECRET_CHARACTERS = 10_000
_KILLED_WORKERS = frozenset(("BrokenProcessPool", "TerminatedWorkerError"))
"""Of concurrent.futures and joblib: a process ended without a word, of which they don't tell how. Most often the kernel
killed it for want of memory, and whether it did is asked where its kills are counted."""
_LOOKED_AT = 10_000
"""Values, in the search for secrets."""
_LOOKED_FOR = 200
"""Secrets; words of a language are tokens, too, and no secrets."""
_MAPPINGS = (dict, type(os.environ), types.MappingProxyType)
"""Looked into. Others may do anything when they are: compute, or download."""


def failure_from(error: BaseException, kind: FailureKind = FailureKind.RAISED) -> Failure:
    """All that is worth knowing of an exception."""
    chain, links = _chain(error)
    exit_code = _exit_code(chain)
    traces = [_traces(each) for each in chain]
    # Not pipegraph's own, from which all jobs can be reached.
    calls = [trace.tb_frame for each in traces for trace in each]
    masked = Masked(call.f_locals for call in calls if origin_of(call.f_code.co_filename) is not Origin.PIPEGRAPH)
    message = _message(error)
    frames: list[Frame] = []
    room = _VARIABLES_CHARACTERS
    for at, each in enumerate(chain):
        found, room = _frames(traces[at], masked, room)
        if at:
            told = _told(each)
            message += f"\n{links[at - 1]} {told}"
            if found:
                headline = masked.text(told.partition("\n")[0])[:500]
                found[-1] = found[-1]._replace(ending=f"{headline}, and {_LED_TO[links[at - 1]]}:")
        frames[:0] = found
        if len(frames) >= _FRAMES:
            break
    message = masked.text(message[:MESSAGE_BYTES])[:MESSAGE_BYTES]
    damage = None
    if isinstance(error, CacheDamagedError):
        damage = Damage(error.cache, masked.text(dict(error.facts).get("because", "")))
    return Failure(kind, _name(error), message, tuple(frames[-_FRAMES:]), _pickled(error), exit_code, damage)


_LED_TO = {"because of": "because of that", "while handling": "while that was handled"}


def _exit_code(chain: list[BaseException]) -> int | None:
    """Of the process, or of a program that it failed for."""
    error = chain[0]
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    for each in chain:
        for name in ("returncode", "exit_code"):  # of subprocess.CalledProcessError, and of our own
            code = getattr(each, name, None)
            if isinstance(code, int):
                return code
        if _KILLED_WORKERS.intersection(base.__name__ for base in type(each).__mro__):
            return -signal.SIGKILL
    return None


def _chain(error: BaseException) -> tuple[list[BaseException], list[str]]:
    """The exception, what it came from and so on, and between each two how."""
    chain, links = [error], []
    while len(chain) < _FRAMES:
        last = chain[-1]
        if last.__cause__ is not None:
            following, link = last.__cause__, "because of"
        elif last.__context__ is not None and not last.__suppress_context__:
            following, link = last.__context__, "while handling"
        else:
            break
        if any(following is each for each in chain):
            break
        chain.append(following)
        links.append(link)
    return chain, links


def _name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _told(error: BaseException) -> str:
    return f"{_name(error)}: {_message(error)}".removeprefix("builtins.")


def _message(error: BaseException) -> str:
    try:
        text = str(error)
        notes = getattr(error, "__notes__", None)
        if isinstance(notes, list):  # PEP 678
            text = "\n".join([text, *map(str, notes)])
        if isinstance(error, getattr(builtins, "BaseExceptionGroup", ())):
            text += "".join(f"\n- {_told(each)}" for each in error.exceptions[:20])  # type: ignore[attr-defined]
        return text[:MESSAGE_BYTES]
    except BaseException as second:
        return f"(its text can't be had: {type(second).__name__})"


def _pickled(error: BaseException) -> bytes:
    try:
        data = pickle.dumps(error)
        if len(data) <= _PICKLE_BYTES and type(pickle.loads(data)) is type(error):
            return data
    except BaseException:
        pass
    return b""


def _traces(error: BaseException) -> list[TracebackType]:
    # A recursion error has thousands of frames: the first and the last tell it.
    trace = error.__traceback__
    traces: list[TracebackType] = []
    while trace is not None:
        traces.append(trace)
        trace = trace.tb_next
    if len(traces) > _FRAMES:
        traces = [*traces[: _FRAMES // 2], *traces[-_FRAMES // 2 :]]
    return traces


def _frames(traces: list[TracebackType], masked: Masked, room: int) -> tuple[list[Frame], int]:
    """Outermost first, and what is left of the room for variables."""
    found: list[Frame] = []
    for each in reversed(traces):
        code = each.tb_frame.f_code
        origin = origin_of(code.co_filename)
        source = ""
        variables: tuple[tuple[str, str], ...] = ()
        if origin is Origin.SCRIPT:
            source = masked.source(linecache.getline(code.co_filename, each.tb_lineno).strip())
            variables = masked.variables(each.tb_frame.f_locals, room)
            room -= sum(len(text) for _, text in variables)
        found.append(Frame(shown_file(code.co_filename), each.tb_lineno, code.co_name, source, variables, origin))
    return found[::-1], room


class Masked(reprlib.Repr):
    """Values as bounded text, without the secrets that were found in these variables.

    Never raises, whatever the values' own code does.
    """

    def __init__(self, frames: Iterable[Mapping[str, object]]) -> None:
        super().__init__()
        self.maxstring = self.maxother = 500
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 20
        found: set[str] = set()
        with contextlib.suppress(BaseException):  # of the values' own code
            found = _secret_texts(frames)
        # The longest first: one may be part of another.
        self._secrets = sorted({each for text in found for each in (text, repr(text)[1:-1])}, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Text from anywhere."""
        for each in self._secrets:
            text = text.replace(each, HIDDEN)
        return masked_text(text)

    def source(self, text: str) -> str:
        """A line of a script: only what stands there as a value is a secret."""
        for each in self._secrets:
            text = text.replace(each, HIDDEN)
        return masked_source(text)

    def variables(self, values: Mapping[str, object], room: int) -> tuple[tuple[str, str], ...]:
        """Names and texts, of so many characters at most."""
        found = []
        for name, value in itertools.islice(dict(values).items(), _VARIABLES):
            if name.startswith("__"):
                continue
            try:
                text = HIDDEN if is_secret(name) else self.text(self.repr(value)[:1000])
            except BaseException as error:
                text = f"(can't be shown: {type(error).__name__})"
            room -= len(text)
            found.append((name, text if room >= 0 else "…"))
        return tuple(found)

    # Before it is cut to its length: what was cut would not be found any more.

    def repr1(self, x: object, level: int) -> str:
        """Any value; mappings of several kinds as dicts."""
        if isinstance(x, _MAPPINGS) and type(x) is not dict:
            return f"{type(x).__name__}({self.repr_dict(x, level)})"
        return super().repr1(x, level)

    def repr_dict(self, x: Mapping[Any, Any], level: int) -> str:
        """In the dict's own order, which `reprlib` does not keep."""
        if level <= 0:
            return "{...}" if x else "{}"
        parts = [
            f"{self.repr1(key, level - 1)}: {HIDDEN if is_secret(key) else self.repr1(x[key], level - 1)}"
            for key in itertools.islice(x, self.maxdict)
        ]
        if len(x) > self.maxdict:
            parts.append("...")
        return "{" + ", ".join(parts) + "}"

    def repr_str(self, x: str, level: int) -> str:
        """Of a very long one the middle is never shown."""
        if len(x) > 4 * self.maxstring:
            x = x[: 2 * self.maxstring] + x[-2 * self.maxstring :]
        return super().repr_str(self.text(x), level)

    def repr_instance(self, x: object, level: int) -> str:
        """As it shows itself."""
        text = self.text(builtins.repr(x))
        if len(text) > self.maxother:
            half = self.maxother // 2
            text = f"{text[:half]}...{text[-half:]}"
        return text


def _secret_texts(frames: Iterable[Mapping[str, object]]) -> set[str]:
    """The values of what has the name of a secret, in variables, dicts and attributes; the nearest come first."""
    found: set[str] = set()
    queue = collections.deque[tuple[object, bool]]((dict(variables), False) for variables in frames)
    for _ in range(_LOOKED_AT):
        if not queue or len(found) >= _LOOKED_FOR:
            break
        value, is_known = queue.popleft()
        if isinstance(value, bytes):
            value = value[:_SECRET_CHARACTERS].decode("utf-8", "replace")
        if isinstance(value, str):
            # The working directory has the name pwd.
            if is_known and len(value) >= _RECOGNISED_CHARACTERS and not value.startswith(os.sep):
                found.add(value[:_SECRET_CHARACTERS])
        elif isinstance(value, _MAPPINGS):
            entries = itertools.islice(value.items(), _LOOKED_AT)
            queue.extend((each, is_known or is_secret(key)) for key, each in entries)
        elif isinstance(value, (list, tuple, set, frozenset)):
            queue.extend((each, is_known) for each in itertools.islice(value, 100))
        elif not isinstance(value, (type, types.ModuleType)):
            with contextlib.suppress(Exception):
                queue.append((object.__getattribute__(value, "__dict__"), False))
    return found
