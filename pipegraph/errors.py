"""Every exception that pipegraph raises, as one tree.

An error has a headline, facts (always with the place in the user's script) and a mend. It is raised at the
first moment at which it can be known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class PyPipeGraphError(ValueError):
    """Base of all errors of pipegraph.

    Parameters
    ----------
    headline
        One line: what is wrong.
    facts
        Pairs of name and value, printed one a line below the headline.
    mend
        What to do about it.
    """

    def __init__(self, headline: str, facts: Iterable[tuple[str, object]] = (), mend: str = "") -> None:
        self.headline = headline
        self.facts = tuple((name, str(value)) for name, value in facts)
        self.mend = mend
        super().__init__(headline, self.facts, mend)

    def __str__(self) -> str:
        width = max((len(name) for name, _ in self.facts), default=0) + 1
        lines = [self.headline]
        lines += [f"    {name + ':':<{width}} {_shown_lines(str(value))}" for name, value in self.facts]
        if self.mend:
            lines.append(self.mend)
        return "\n".join(lines)


def shown(text: str) -> str:
    """Text from outside, on one line and without anything that a terminal would obey.

    Control characters, what turns the direction of writing, and what can't be encoded stand as backslash escapes.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _shown_lines(text: str) -> str:
    # Python prints errors as they are.
    return "\n".join(map(shown, text.split("\n")))


class NoGraphError(PyPipeGraphError):
    """A job was made, or a run asked for, without a current graph."""


class JobContractError(PyPipeGraphError):
    """A job was declared wrongly, or its callback did not do what it promised."""


class DuplicateOutputError(JobContractError):
    """Two jobs promise the same file."""


class CycleError(PyPipeGraphError):
    """Jobs wait for each other in a circle."""


class FingerprintError(PyPipeGraphError):
    """A parameter holds something whose fingerprint would not be stable between runs."""


class CacheDamagedError(PyPipeGraphError):
    """A cache is not what was written, or can't be read back.

    Attributes
    ----------
    cache
        The id of the job that makes it.
    """

    def __init__(
        self, headline: str, facts: Iterable[tuple[str, object]] = (), mend: str = "", cache: str = ""
    ) -> None:
        super().__init__(headline, facts, mend)
        self.cache = cache

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.headline, self.facts, self.mend, self.cache)


class JobDiedException(PyPipeGraphError):
    """The process of a job ended without a report.

    Attributes
    ----------
    exit_code
        As given by the process: 0 and above its exit status, below 0 the negated number of the signal.
    """

    def __init__(
        self,
        headline: str,
        facts: Iterable[tuple[str, object]] = (),
        mend: str = "",
        exit_code: int = 0,
    ) -> None:
        super().__init__(headline, facts, mend)
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.headline, self.facts, self.mend, self.exit_code)


class NotebookError(PyPipeGraphError):
    """A cell of a notebook raised, the kernel died, or it took too long."""


class RuntimeError(PyPipeGraphError):  # noqa: A001 - the name that scripts of the original API rely on
    """The run ended, and at least one job failed.

    Attributes
    ----------
    exceptions
        The exceptions of the failed jobs, in the order in which they failed. What could not be brought back
        as an object stands as its text.
    """

    def __init__(
        self,
        headline: str,
        facts: Iterable[tuple[str, object]] = (),
        mend: str = "",
        exceptions: Sequence[object] = (),
    ) -> None:
        super().__init__(headline, facts, mend)
        self.exceptions = list(exceptions)


class RuntimeException(PyPipeGraphError):
    """A bug in pipegraph itself."""


class CommunicationFailure(PyPipeGraphError):
    """Compute slaves could not be started, or died again and again, so that the run could not go on."""


class StatusError(PyPipeGraphError):
    """The status file can't be used."""


class StatusHeldError(StatusError):
    """Another run holds the status file."""


class StatusTooNewError(StatusError):
    """The status file was written by a newer version of pipegraph."""


class StatusWriteError(StatusError):
    """A record could not be written, for instance because the disk is full."""
