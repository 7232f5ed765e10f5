"""Whose code it is: the user's own, a library's or pipegraph's; by the file that it stands in."""

from __future__ import annotations

import functools
import os
import sys
from types import ModuleType

from xxhash import xxh3_128_hexdigest

from ..model import Origin

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep
_COMPILED = ".so"
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


@functools.lru_cache(maxsize=10_000)
def origin_of(filename: str) -> Origin:
    """Whose code a file holds. What has no file, as what was typed or given to ``exec``, is the user's own."""
    if filename.startswith(_PACKAGE):
        return Origin.PIPEGRAPH
    # What is installed beside the standard library lies below it.
    is_library = filename.startswith((_STANDARD_LIBRARY, "<frozen ")) or any(each in filename for each in _INSTALLED)
    return Origin.LIBRARY if is_library else Origin.SCRIPT


def shown_file(filename: str) -> str:
    """A cell of a notebook as Jupyter counts it, ``In[3]``; any other file as it is."""
    if "ipykernel_" not in filename or "IPython" not in sys.modules:
        return filename
    compiler = getattr(sys.modules["IPython"].get_ipython(), "compile", None)
    number = getattr(compiler, "_filename_map", {}).get(filename)
    return filename if number is None else f"In[{number}]"


def is_own_module(module: ModuleType) -> bool:
    """Whether a module is the user's own."""
    # A file of one's own may have the name of one of the standard library's.
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return origin_of(file) is Origin.SCRIPT
    if module.__name__.partition(".")[0] in sys.stdlib_module_names:
        return False
    # A folder without __init__.py, or a module that was made by hand.
    return all(origin_of(os.path.join(path, "")) is Origin.SCRIPT for path in getattr(module, "__path__", ()))


def is_own(module_name: object) -> bool:
    """Whether what says that it belongs to this module is the user's own; what says nothing sensible is."""
    if not isinstance(module_name, str) or module_name == "__main__":
        return True  # Whatever launched it: a notebook's kernel, a profiler.
    module = sys.modules.get(module_name)
    if module is None:
        return module_name.partition(".")[0] not in sys.stdlib_module_names
    return is_own_module(module)


def compiled_content(module_name: object) -> str:
    """Digest of the file of a compiled module of the user's own (of Cython, say); empty for all others.

    What its functions do can't be told apart by less.
    """
    module = sys.modules.get(module_name) if isinstance(module_name, str) else None
    file = getattr(module, "__file__", None)
    if module is None or not isinstance(file, str) or not file.endswith(_COMPILED) or not is_own_module(module):
        return ""
    return _digest_of_file(file)


@functools.lru_cache(maxsize=1000)
def _digest_of_file(file: str) -> str:
    # Once a process: what was loaded stays, whatever is built meanwhile.
    try:
        with open(file, "rb") as content:
            return xxh3_128_hexdigest(content.read())
    except OSError:
        return "gone"
