"""Jobs that load data into a slave's memory, for all later jobs to inherit by fork."""

from __future__ import annotations

from typing import Any

from ..errors import JobContractError
from ..model import Role
from .base import Callback, Job


class DataLoadingJob(Job):
    """Call a function that loads something, in the slave; done only if a job that runs depends on it.

    Parameters
    ----------
    job_id
        Any unique name.
    callback
        Takes no argument; what it returns is ignored.
    """

    role = Role.EPHEMERAL
    in_memory = True
    changes_slave = True

    def __init__(self, job_id: str, callback: Callback) -> None:
        if callback is None:
            raise TypeError(f"{type(self).__name__}: the callback must be a function, not None")
        if self._declare(callback):
            self._enlist()


class AttributeLoadingJob(DataLoadingJob):
    """Set an attribute of an object to what a function returns, in the slave.

    It is deleted when no job is left that could need it.

    Parameters
    ----------
    object
        What gets the attribute.
    attribute_name
        Its name.
    callback
        Takes no argument, returns the value.
    """

    def __init__(self, job_id: str, object: object, attribute_name: str, callback: Callback) -> None:  # noqa: A002
        self._require_type("attribute_name", attribute_name, str, "a str")
        is_other = self._is_whole and (self._object is not object or self._attribute != attribute_name)
        if is_other and not self.graph.is_between_runs:
            raise JobContractError(
                "a second job of the same id for another attribute",
                [
                    ("id", self.job_id),
                    ("first", f"{self._attribute}, {self.place}"),
                    ("second", f"{attribute_name}, {self.graph.place_of_caller()}"),
                ],
                "Give one of them another id.",
            )
        super().__init__(job_id, callback)
        self._object = object
        self._attribute = attribute_name

    _object: Any = None
    _attribute = ""

    def run(self) -> None:
        """Load it."""
        assert self.function is not None
        setattr(self._object, self._attribute, self.function())

    def release(self) -> None:
        """Delete the attribute."""
        super().release()
        if hasattr(self._object, self._attribute):
            delattr(self._object, self._attribute)
