"""Jobs that load data into a slave's memory, for all later jobs to inherit by fork."""

from __future__ import annotations

from typing import Any

from ..errors import FingerprintError, JobContractError
from ..invariants.parameters import fingerprint_parameters
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
    cut_off
        The fingerprint of what the callback returns counts for dependents, and not that the job's inputs changed:
        where it is the same, they do not run. The callback may return what it loaded, or anything that tells one state
        of it from another, such as a version.
    """

    role = Role.EPHEMERAL
    in_memory = True
    changes_slave = True

    def __init__(self, job_id: str, callback: Callback, *, cut_off: bool = False) -> None:
        if callback is None:
            raise TypeError(f"{type(self).__name__}: the callback must be a function, not None")
        if self._declare(callback):
            self._enlist()
        self._set_cut_off(cut_off)

    def _set_cut_off(self, cut_off: bool) -> None:
        self._require_type("cut_off", cut_off, bool, "True or False")
        if cut_off != self.is_opaque:
            self.is_opaque = cut_off

    def run(self) -> None:
        """Load it."""
        assert self.function is not None
        returned = self._call(self.function)
        if self.is_opaque and returned is None:
            raise JobContractError(
                "the callback of a loading job with cut_off returned nothing",
                [("job", f"{self.job_id} ({type(self).__name__}, {self.place})")],
                "Return what was loaded, or a str that is another when that is; or do without cut_off=True.",
            )
        self._take_fingerprint(returned)

    def _call(self, function: Callback) -> object:
        return function()

    def _take_fingerprint(self, value: object) -> None:
        """Of what counts for dependents."""
        if not self.is_opaque:
            return
        try:
            self.loaded_fingerprint = fingerprint_parameters(value, "returned")
        except FingerprintError as error:
            raise FingerprintError(
                "what was loaded has no fingerprint to cut off by",
                [("job", f"{self.job_id} ({type(self).__name__}, {self.place})"), *error.facts],
                "Use a DataLoadingJob whose callback returns a str that is another when the data is; or do without "
                "cut_off=True.",
            ) from None


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
    cut_off
        The fingerprint of the value counts for dependents, and not that the job's inputs changed.
    """

    def __init__(
        self,
        job_id: str,
        object: object,  # noqa: A002
        attribute_name: str,
        callback: Callback,
        *,
        cut_off: bool = False,
    ) -> None:
        self._check_target(object, attribute_name)
        super().__init__(job_id, callback, cut_off=cut_off)
        self._object = object
        self._attribute = attribute_name

    _object: Any = None
    _attribute = ""

    def _check_target(self, target: object, attribute: str) -> None:
        self._require_type("attribute_name", attribute, str, "a str")
        is_other = self._is_whole and (self._object is not target or self._attribute != attribute)
        if is_other and not self.graph.is_between_runs:
            raise JobContractError(
                "a second job of the same id for another attribute",
                [
                    ("id", self.job_id),
                    ("first", f"{self._attribute}, {self.place}"),
                    ("second", f"{attribute}, {self.graph.place_of_caller()}"),
                ],
                "Give one of them another id.",
            )

    def run(self) -> None:
        """Load it."""
        assert self.function is not None
        self._set(self.function())

    def _set(self, value: object) -> None:
        self._take_fingerprint(value)
        setattr(self._object, self._attribute, value)

    def release(self) -> None:
        """Delete the attribute."""
        super().release()
        if hasattr(self._object, self._attribute):
            delattr(self._object, self._attribute)
