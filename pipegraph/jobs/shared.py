"""Jobs that make files which other projects and people need, too: made once, in a folder that all of them name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from .base import Callback
from .files import FileGeneratingJob, MultiFileGeneratingJob, PathName


class SharedFileGeneratingJob(FileGeneratingJob):
    """`FileGeneratingJob` (output_filename, function, …) `.share` (folder)."""

    def __new__(cls, folder: Any = None, output_filename: Any = None, *args: Any, **kwargs: Any) -> Any:
        """By its file, as other jobs are."""
        return super().__new__(cls, output_filename)

    def __init__(
        self,
        folder: str | os.PathLike[str],
        output_filename: PathName,
        function: Callback,
        rename_broken: bool = False,
        empty_ok: bool = False,
        *,
        name: str = "",
    ) -> None:
        super().__init__(output_filename, function, rename_broken, empty_ok)
        self.share(folder, name)


class SharedMultiFileGeneratingJob(MultiFileGeneratingJob):
    """`MultiFileGeneratingJob` (filenames, function, …) `.share` (folder)."""

    def __new__(cls, folder: Any = None, filenames: Any = None, *args: Any, **kwargs: Any) -> Any:
        """By its files, as other jobs are."""
        return super().__new__(cls, filenames)

    def __init__(
        self,
        folder: str | os.PathLike[str],
        filenames: Iterable[PathName] | Mapping[str, PathName],
        function: Callback,
        rename_broken: bool = False,
        empty_ok: bool | Mapping[PathName, bool] = False,
        *,
        name: str = "",
    ) -> None:
        super().__init__(filenames, function, rename_broken, empty_ok)
        self.share(folder, name)
