"""How values are written to files and read back; a format is named or given, never guessed from a name or content."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import JobContractError
from ..graph import Graph, current

Write = Callable[[Any, str], object]
Read = Callable[[str], Any]


class Format(NamedTuple):
    """One way to write a value to a path, and to read it back.

    Attributes
    ----------
    name
        Empty: of a pair of functions that were given without one.
    is_ours
        It comes with pipegraph, and its name says all; else the functions are watched.
    is_lazy
        Reading it back reads no more than what is looked at.
    """

    name: str
    write: Write
    read: Read
    is_ours: bool = False
    is_lazy: bool = False

    def __str__(self) -> str:
        if self.name:
            return self.name
        names = [getattr(each, "__qualname__", repr(each)) for each in (self.write, self.read)]
        return f"({', '.join(names)})"


def _write_pickle(value: Any, path: str) -> None:
    import pickle

    with open(path, "wb") as out:
        pickle.dump(value, out, protocol=5)


def _read_pickle(path: str) -> Any:
    import pickle

    with open(path, "rb") as source:
        return pickle.load(source)


def _write_text(value: Any, path: str) -> None:
    if not isinstance(value, str):
        raise TypeError(f"the format text is for str, not {type_name(value)}")
    with open(path, "w", encoding="utf-8", newline="") as out:
        out.write(value)


def _read_text(path: str) -> Any:
    with open(path, encoding="utf-8", newline="") as source:
        return source.read()


def _write_npy(value: Any, path: str) -> None:
    import numpy

    if not isinstance(value, numpy.ndarray):
        raise TypeError(f"the format npy is for numpy arrays, not {type_name(value)}")
    with open(path, "wb") as out:
        numpy.save(out, value, allow_pickle=False)


def _read_npy(path: str) -> Any:
    import numpy

    return numpy.load(path, allow_pickle=False)


def _map_npy(path: str) -> Any:
    import numpy

    return numpy.load(path, mmap_mode="r", allow_pickle=False)


def _write_npz(value: Any, path: str) -> None:
    import numpy

    if not isinstance(value, dict) or not all(isinstance(each, numpy.ndarray) for each in value.values()):
        raise TypeError(f"the format npz is for dicts of numpy arrays, not {type_name(value)}")
    # As a file: to a mere name numpy would add an ending.
    with open(path, "wb") as out:
        numpy.savez(out, allow_pickle=False, **value)


def _read_npz(path: str) -> Any:
    import numpy

    with numpy.load(path, allow_pickle=False) as found:
        return dict(found)


def _write_parquet(value: Any, path: str) -> None:
    if not hasattr(value, "to_parquet"):
        raise TypeError(f"the format parquet is for pandas DataFrames, not {type_name(value)}")
    value.to_parquet(path)


def _read_parquet(path: str) -> Any:
    import pandas

    return pandas.read_parquet(path)


def _write_polars(value: Any, path: str) -> None:
    if not hasattr(value, "write_parquet"):
        raise TypeError(f"the format polars is for polars DataFrames, not {type_name(value)}")
    value.write_parquet(path)


def _read_polars(path: str) -> Any:
    import polars

    return polars.read_parquet(path)


def _write_joblib(value: Any, path: str) -> None:
    import joblib

    joblib.dump(value, path)


def _read_joblib(path: str) -> Any:
    import joblib

    return joblib.load(path)


def _write_h5ad(value: Any, path: str) -> None:
    if not hasattr(value, "write_h5ad"):
        raise TypeError(f"the format h5ad is for AnnData objects, not {type_name(value)}")
    value.write_h5ad(path)


def _read_h5ad(path: str) -> Any:
    import anndata

    return anndata.read_h5ad(path)


def type_name(value: object) -> str:
    """Of its class, with the module where that is not Python's own."""
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


PICKLE = Format("pickle", _write_pickle, _read_pickle, is_ours=True)

_FORMATS = {
    "pickle": PICKLE,
    "text": Format("text", _write_text, _read_text, is_ours=True),
    "npy": Format("npy", _write_npy, _read_npy, is_ours=True),
    "npz": Format("npz", _write_npz, _read_npz, is_ours=True),
    "parquet": Format("parquet", _write_parquet, _read_parquet, is_ours=True),
    "polars": Format("polars", _write_polars, _read_polars, is_ours=True),
    "joblib": Format("joblib", _write_joblib, _read_joblib, is_ours=True),
    "h5ad": Format("h5ad", _write_h5ad, _read_h5ad, is_ours=True),
}


@functools.cache
def memory_mapped(dtype: str) -> Format:
    """Arrays of one dtype, as npy files, of which reading reads nothing yet."""

    def write(value: Any, path: str) -> None:
        import numpy

        # Other kinds (floats as whole numbers, say) would lose something.
        _write_npy(numpy.asarray(value).astype(dtype, casting="same_kind", copy=False), path)

    return Format(f"npy of {dtype}, memory-mapped", write, _map_npy, is_ours=True, is_lazy=True)


def register_format(name: str, write: Write, read: Read) -> None:
    """Give a format of your own a name, for the jobs of this graph.

    Parameters
    ----------
    write
        Called with the value and the path.
    read
        Called with the path; gives back the value.

    Raises
    ------
    JobContractError
        The name is taken by another.
    """
    graph = current()
    known = _FORMATS.get(name) or graph.formats.get(name)
    if known is not None and known[1:3] != (write, read) and not graph.is_between_runs:
        raise JobContractError(
            "a format of this name is known already",
            [("format", name), ("where", graph.place_of_caller())],
            "Give it another name.",
        )
    graph.formats[name] = _from_pair((write, read), name, graph)


def chosen_format(given: Any, graph: Graph) -> Format:
    """The format that a job was given: None (pickle), a name, or a pair of functions.

    Raises
    ------
    JobContractError
        None of these, or an unknown name.
    """
    if given is None:
        return PICKLE
    if isinstance(given, Format):
        return given
    if isinstance(given, str):
        found = graph.formats.get(given) or _FORMATS.get(given)
        if found is None:
            raise JobContractError(
                "there is no such format",
                [
                    ("format", given),
                    ("known", ", ".join([*_FORMATS, *graph.formats])),
                    ("where", graph.place_of_caller()),
                ],
                "Name one of these, give a pair of functions (write(value, path), read(path)), or register_format(…).",
            )
        return found
    return _from_pair(given, "", graph)


def _from_pair(given: Any, name: str, graph: Graph) -> Format:
    if not isinstance(given, tuple) or len(given) != 2 or not all(map(callable, given)):
        raise JobContractError(
            "a format is a name, or a pair of functions",
            [("given", f"{given!r:.100}"), ("where", graph.place_of_caller())],
            "Give (write, read): write(value, path) and read(path).",
        )
    return Format(name, *given)
