"""Checks what scripts pass as ids, paths and callbacks, at the line that passed it."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any, NoReturn

from ..errors import JobContractError
from ..graph import Graph
from ..model import Place

_LONGEST_NAME = 255
_LONGEST_PATH = 4095
"""Bytes; limits.h of Linux, without the zero byte."""
_SURELY_SHORT = _LONGEST_NAME // 4
"""Characters: UTF-8 has at most four bytes for one."""


def text_id(given: Any, class_name: str, where: Callable[[], Place]) -> str:
    """The id of a job that makes no file.

    Raises
    ------
    TypeError
        Neither str nor Path.
    JobContractError
        Empty, or not to be written as UTF-8.
    """
    text = given if type(given) is str else _text(given, class_name, "job_id", where)
    if not text:
        _refuse("an empty id", text, class_name, where, "Give the job a name.")
    if not text.isascii():
        _check_utf8(text, class_name, where)
    return text


def output_path(given: Any, class_name: str, graph: Graph) -> str:
    """An output's path, normalised and relative to the working directory.

    Raises
    ------
    TypeError
        Neither str nor Path.
    JobContractError
        Empty, too long, outside the working directory, the directory itself, or not to be written as UTF-8.
    """
    path = given if type(given) is str else _text(given, class_name, "a file name", graph.place_of_caller)
    if not path:
        _refuse("an empty file name", path, class_name, graph.place_of_caller, "Give the file's path.")
    if not path.isascii():
        _check_utf8(path, class_name, graph.place_of_caller)
    if "\0" in path:
        _refuse("a file name with a zero byte", path, class_name, graph.place_of_caller, "Remove it.")
    if path[0] in "/." or "//" in path or "/." in path or path[-1] == "/":
        if path[-1] == "/":
            mend = "Name a file, not a folder."
            _refuse("a file name that ends with a slash", path, class_name, graph.place_of_caller, mend)
        path = os.path.normpath(path)
        if path[0] == "/" or path.startswith("../"):
            path = os.path.relpath(os.path.join(graph.directory, path), graph.directory)
        if path == "." or path == ".." or path.startswith("../"):
            _refuse(
                "an output outside the working directory",
                os.fspath(given),
                class_name,
                graph.place_of_caller,
                f"Outputs lie below {graph.directory}. Call new_pipegraph() in a folder above, or link one in.",
            )
    if len(path) > _SURELY_SHORT:
        _check_length(path, class_name, graph.place_of_caller)
    return path


def path_of_input(given: Any, graph: Graph) -> str:
    """A path of an input: relative to the working directory where it is inside, else absolute.

    Raises
    ------
    TypeError
        Neither str nor Path.
    JobContractError
        Empty, too long, or not to be written as UTF-8.
    """
    path = given if type(given) is str else _text(given, "input", "a file name", graph.place_of_caller)
    if not path:
        _refuse("an empty file name", path, "input", graph.place_of_caller, "Give the file's path.")
    if "\0" in path:
        _refuse("a file name with a zero byte", path, "input", graph.place_of_caller, "Remove it.")
    if not path.isascii():
        _check_utf8(path, "input", graph.place_of_caller)
    if path[0] in "/." or "//" in path or "/." in path or path[-1] == "/":
        path = os.path.normpath(path)
        if path.startswith(graph.directory + "/"):
            path = path[len(graph.directory) + 1 :]
        elif path.startswith("../"):
            path = os.path.normpath(os.path.join(graph.directory, path))
            if path.startswith(graph.directory + "/"):
                path = path[len(graph.directory) + 1 :]
    if len(path) > _SURELY_SHORT:
        _check_length(path, "input", graph.place_of_caller)
    return path


def call_takes_output(function: Any, class_name: str, place: Place, may_take: bool) -> bool:
    """Whether the callback wants the output; from its signature, never by trying.

    It does if it has exactly one parameter without a default. The loop idiom ``def f(x=x)`` has none.

    Raises
    ------
    TypeError
        Not callable.
    JobContractError
        It wants more than it will be given.
    """
    kind = type(function)
    code = None
    bound = 0
    if kind is FunctionType:
        code = function.__code__
        if not code.co_argcount and not code.co_kwonlyargcount:
            return False
        own = function
    elif kind is MethodType and type(function.__func__) is FunctionType:
        own = function.__func__
        code = own.__code__
        bound = 1
    if code is not None:
        needed = code.co_argcount - bound - len(own.__defaults__ or ())
        if code.co_kwonlyargcount:
            needed += 100 * (code.co_kwonlyargcount - len(own.__kwdefaults__ or ()))
    elif not callable(function):
        raise TypeError(
            f"{class_name}: the callback must be a function, not {type(function).__name__} ({function!r:.80})"
            f"\n    where: {place}"
        )
    else:
        needed = _needed_by_signature(function)
    if needed > (1 if may_take else 0):
        raise JobContractError(
            "a callback that wants more arguments than it is given",
            [
                ("callback", getattr(function, "__qualname__", repr(function))),
                ("job", f"{class_name}, {place}"),
                ("given", "nothing, or the output path" if may_take else "nothing"),
            ],
            "Give the other parameters default values, or wrap it in a function that takes none.",
        )
    return bool(needed == 1)


def require_arguments(function: Any, class_name: str, place: Place, given: tuple[str, ...]) -> None:
    """The callback can be called with just these; from its signature, never by trying.

    Raises
    ------
    TypeError
        Not callable.
    JobContractError
        It takes less, or wants more.
    """
    import inspect

    if not callable(function):
        raise TypeError(
            f"{class_name}: the callback must be a function, not {type(function).__name__} ({function!r:.80})"
            f"\n    where: {place}"
        )
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return  # C functions may not tell
    try:
        signature.bind(*given)
    except TypeError as error:
        raise JobContractError(
            "a callback that does not take what it is given",
            [
                ("callback", getattr(function, "__qualname__", repr(function))),
                ("job", f"{class_name}, {place}"),
                ("given", " and ".join(given)),
                ("because", error),
            ],
            "Give it these parameters, and others default values.",
        ) from None


def _needed_by_signature(function: Any) -> int:
    import inspect

    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return 0  # C functions may not tell; they are called without arguments
    needed = 0
    for parameter in parameters:
        if parameter.default is parameter.empty:
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                needed += 1
            elif parameter.kind is parameter.KEYWORD_ONLY:
                needed += 100
    return needed


def _text(given: Any, class_name: str, name: str, where: Callable[[], Place]) -> str:
    if isinstance(given, str):
        return str(given)
    if isinstance(given, os.PathLike):
        text = os.fspath(given)
        if isinstance(text, str):
            return text
    raise TypeError(
        f"{class_name}: {name} must be a str or a Path, not {type(given).__name__} ({given!r:.80})"
        f"\n    where: {where()}"
    )


def _check_utf8(text: str, class_name: str, where: Callable[[], Place]) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        _refuse("a name that is not valid UTF-8", ascii(text), class_name, where, "Rename the file, or the job.")


def _check_length(path: str, class_name: str, where: Callable[[], Place]) -> None:
    encoded = path.encode()
    if len(encoded) > _LONGEST_PATH or any(len(name) > _LONGEST_NAME for name in encoded.split(b"/")):
        mend = f"Linux takes names of {_LONGEST_NAME} bytes and paths of {_LONGEST_PATH}: shorten it."
        _refuse("a file name that is too long", path, class_name, where, mend)


def _refuse(headline: str, given: str, class_name: str, where: Callable[[], Place], mend: str) -> NoReturn:
    raise JobContractError(headline, [("job", f"{class_name}, {where()}"), ("given", repr(given))], mend)
