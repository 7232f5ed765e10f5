"""Exceptions as plain data: they must come back even if they can't be pickled, unpickled or printed."""

from __future__ import annotations

import linecache
import os
import pickle
import reprlib
from types import TracebackType

from ..model import Failure, FailureKind, Frame

MESSAGE_BYTES = 100_000
_PICKLE_BYTES = 1 << 20
_VARIABLES = 50
_FRAMES = 100
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def failure_from(error: BaseException, kind: FailureKind = FailureKind.RAISED) -> Failure:
    """All that is worth knowing of an exception."""
    exit_code = None
    if isinstance(error, SystemExit):
        exit_code = error.code if isinstance(error.code, int) else 1
    frames: list[Frame] = []
    seen: set[int] = set()
    chained: BaseException | None = error
    message = _message(error)
    while chained is not None and id(chained) not in seen and len(frames) < _FRAMES:
        seen.add(id(chained))
        frames[:0] = _frames(chained.__traceback__)
        if chained.__cause__ is not None:
            chained = chained.__cause__
            message += f"\nbecause of {_name(chained)}: {_message(chained)}"
        elif chained.__context__ is not None and not chained.__suppress_context__:
            chained = chained.__context__
            message += f"\nwhile handling {_name(chained)}: {_message(chained)}"
        else:
            chained = None
    return Failure(kind, _name(error), message[:MESSAGE_BYTES], tuple(frames[-_FRAMES:]), _pickled(error), exit_code)


def _name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _message(error: BaseException) -> str:
    try:
        return str(error)[:MESSAGE_BYTES]
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


def _frames(trace: TracebackType | None) -> list[Frame]:
    found: list[Frame] = []
    # A recursion error has thousands of frames: the first and the last tell it.
    traces: list[TracebackType] = []
    while trace is not None:
        traces.append(trace)
        trace = trace.tb_next
    own = [each for each in traces if not each.tb_frame.f_code.co_filename.startswith(_PACKAGE)]
    traces = own or traces[-1:]
    if len(traces) > _FRAMES:
        traces = [*traces[: _FRAMES // 2], *traces[-_FRAMES // 2 :]]
    for each in traces:
        code = each.tb_frame.f_code
        found.append(
            Frame(
                code.co_filename,
                each.tb_lineno,
                code.co_name,
                linecache.getline(code.co_filename, each.tb_lineno).strip(),
                _variables(each.tb_frame.f_locals),
            )
        )
    return found


def _variables(values: dict[str, object]) -> tuple[tuple[str, str], ...]:
    short = reprlib.Repr()
    short.maxstring = short.maxother = 500
    short.maxlist = short.maxtuple = short.maxdict = short.maxset = short.maxfrozenset = 20
    found = []
    for name, value in list(values.items())[:_VARIABLES]:
        if name.startswith("__"):
            continue
        try:
            text = short.repr(value)[:1000]
        except BaseException as error:
            text = f"(can't be shown: {type(error).__name__})"
        found.append((name, text))
    return tuple(found)
