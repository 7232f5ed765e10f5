"""Code objects as text: what a function does, wherever it stands and however it is laid out.

Left out are names of files and functions, line numbers, and what follows from the rest (stack size). Bytecode
belongs to one minor version of Python, so the text says which. Never looks at what a function closes over.
"""

from __future__ import annotations

import sys
from types import CodeType

from .values import ValueEncoder, digest

_MOST_CODES = 20_000

_MEANT_FLAGS = 0x3AF
"""The kind of function and of its arguments (inspect's CO_*). Others say how and where it was compiled: CO_NESTED, and
``from __future__ import annotations``, whose effect is in the code."""

_IS_FUNCTION = 0x1
"""CO_OPTIMIZED: functions, lambdas and comprehensions have it, class bodies have not."""

_codes: dict[int, tuple[CodeType, str]] = {}
# By id, and with the code, which keeps the id its own: to compare code objects costs more than to encode them.


def code_text(code: CodeType) -> str:
    """Text of a code object, a digest; cached."""
    found = _codes.get(id(code))
    if found is not None:
        return found[1]
    text = code_digest(code)
    if len(_codes) >= _MOST_CODES:
        _codes.clear()
    _codes[id(code)] = (code, text)
    return text


def code_digest(code: CodeType) -> str:
    """The same, of a code that is not worth remembering."""
    text = _Constants().encode(
        (
            sys.implementation.cache_tag,
            # Without the specialisations of a function that ran: co_code gives the original instructions.
            code.co_code,
            _constants(code),
            code.co_names,
            code.co_varnames,
            code.co_freevars,
            code.co_cellvars,
            code.co_argcount,
            code.co_posonlyargcount,
            code.co_kwonlyargcount,
            code.co_flags & _MEANT_FLAGS,
            getattr(code, "co_exceptiontable", b""),
        )
    )
    return digest(text)


def _constants(code: CodeType) -> tuple[object, ...]:
    """Constants, without those that say where the function stands."""
    constants = list(code.co_consts)
    is_class_body = not code.co_flags & _IS_FUNCTION and "__qualname__" in code.co_names
    for index, constant in enumerate(constants):
        if type(constant) is str:
            if is_class_body and constant.endswith(f".{code.co_name}"):
                constants[index] = code.co_name  # What the body sets its __qualname__ to.
            elif sys.version_info < (3, 11) and index > 0:
                # The qualified name stands beside the code from which a function is made.
                before = code.co_consts[index - 1]
                if type(before) is CodeType and "<locals>." in constant and constant.endswith(f".{before.co_name}"):
                    constants[index] = before.co_name
        elif is_class_body and type(constant) is int:
            if constant == code.co_firstlineno and "__firstlineno__" in code.co_names:
                constants[index] = "__firstlineno__"
        elif is_class_body and type(constant) is tuple and "__static_attributes__" in code.co_names:
            # Names of attributes; in 3.13.0 their order depends on the hash seed.
            constants[index] = frozenset(constant)
    return tuple(constants)


class _Constants(ValueEncoder):
    __slots__ = ()

    def other(self, value: object) -> str:
        # Nothing else can stand among constants; what a tool puts there goes by its type.
        return f"code{code_text(value)}" if isinstance(value, CodeType) else f"?{type(value).__qualname__}"
