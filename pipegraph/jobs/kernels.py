"""Executes notebooks, in the process of the job: by nbclient, in a kernel that ends when the job does.

Imported when the first `NotebookJob` is declared; nbclient and all that it needs only by the job that runs.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import re
import signal
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from ..errors import JobContractError, NotebookError
from ..invariants.notebooks import PARAMETERS_TAG

_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PLACE = re.compile(r"Cell In *\[\d+\], line (\d+)")
_IPYTHON_PLACE = re.compile(r" \(\d+\.py, line \d+\)$")
"""Of a syntax error: a file that is not there."""
_TRACE_HEAD = "Traceback (most recent call last)"
_TRACE_LINES = 20
_PR_SET_PDEATHSIG = 1
_LONGEST_FOLDER = 95
"""Bytes, if there are to be sockets in it: with a name, 107 at most (unix(7))."""


def require_programs(kernel: str, is_shown: bool, place: object) -> None:
    """All that executes notebooks is installed.

    Raises
    ------
    JobContractError
        Something is missing; or there is no kernel of this name.
    """
    wanted = ["nbclient", "nbformat", *(["nbconvert"] if is_shown else [])]
    if missing := [name for name in wanted if find_spec(name) is None]:
        raise JobContractError(
            "what executes notebooks is not installed",
            [("missing", ", ".join(missing)), ("where", place)],
            "pip install 'pipegraph[notebooks]'",
        )
    if kernel and kernel not in (known := _kernels()):
        raise JobContractError(
            "there is no Jupyter kernel of this name",
            [("kernel", kernel), ("there are", ", ".join(known) or "none"), ("where", place)],
            "Install it, or name another one: NotebookJob(..., kernel=...). "
            "(python3 comes with pip install 'pipegraph[notebooks]'.)",
        )


def _kernels() -> list[str]:
    # What jupyter_client.kernelspec does, which would bring zmq and its threads into the slaves.
    from jupyter_core.paths import jupyter_path

    found = {"python3"} if find_spec("ipykernel") is not None else set()
    for folder in jupyter_path("kernels"):
        if os.path.isdir(folder):
            found.update(name.lower() for name in os.listdir(folder) if os.path.exists(f"{folder}/{name}/kernel.json"))
    return sorted(found)


class Execution:
    """One execution of a notebook.

    Parameters
    ----------
    path
        As it is told where something fails.
    text
        Of its file.
    kernel
        Empty: the one that the notebook names, or else python3.
    parameters
        Names and values, set by a cell behind the one with the tag "parameters", or else by the first.
    """

    def __init__(self, path: str, text: str, kernel: str, parameters: Mapping[str, object]) -> None:
        from nbformat import v4

        self._path = path
        self._injected = -1
        self._notebook = v4.reads(json.dumps(_with_ids(json.loads(text))))
        if parameters:
            self._inject(parameters)
        self._kernel = kernel or self._notebook.metadata.get("kernelspec", {}).get("name") or "python3"
        self._at = 0

    def _inject(self, parameters: Mapping[str, object]) -> None:
        source = "# Parameters\n" + "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
        cells = self._notebook.cells
        at = next((i for i, cell in enumerate(cells, 1) if PARAMETERS_TAG in cell.metadata.get("tags", ())), 0)
        from nbformat import v4

        cell = v4.new_code_cell(source, id="injected-parameters", metadata={"tags": ["injected-parameters"]})
        if self._notebook.nbformat_minor < 5:
            del cell["id"]
        cells.insert(at, cell)
        self._injected = at

    @property
    def text(self) -> str:
        """The notebook as it is now, as a file."""
        import nbformat

        return f"{nbformat.writes(self._notebook)}\n"

    def html(self) -> str:
        """As a page that needs no other files of ours."""
        from nbconvert import HTMLExporter

        body, _ = HTMLExporter().from_notebook_node(self._notebook, {"metadata": {"name": "Notebook"}})
        return str(body)

    def go(self, timeout: float | None) -> None:
        """Execute all cells, in the working directory; each is told on stdout when it begins.

        Raises
        ------
        NotebookError
            A cell raised, the kernel died, or it takes longer than so many seconds.
        """
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, DeadKernelError

        for cell in self._notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        client = NotebookClient(
            self._notebook,
            kernel_name=self._kernel,
            timeout=None,
            startup_timeout=600,
            # Two executions that show the same are the same bytes.
            record_timing=False,
            coalesce_streams=True,
            on_cell_start=self._begin_cell,
        )
        parent = os.getpid()
        with tempfile.TemporaryDirectory(prefix="kernel-") as folder:
            # What the user has set up for work by hand is no input: it would not be there elsewhere, or tomorrow.
            os.environ["IPYTHONDIR"] = os.environ["JUPYTER_RUNTIME_DIR"] = folder
            manager = client.create_kernel_manager()
            manager.connection_file = os.path.join(folder, "kernel.json")
            if len(os.fsencode(folder)) <= _LONGEST_FOLDER:
                # Of ports, two kernels that start at once may choose the same.
                manager.transport = "ipc"
                manager.ip = os.path.join(folder, "kernel")
            try:
                asyncio.run(_within(timeout, client, parent))
            except CellExecutionError as error:
                raise self._raised(error) from None
            except DeadKernelError:
                raise self._failed("the kernel died: it crashed, or the system ran out of memory") from None
            except asyncio.TimeoutError:
                raise self._failed(f"the notebook took longer than its timeout, {timeout:g} seconds") from None

    def _begin_cell(self, cell: Any, cell_index: int) -> None:
        self._at = cell_index
        if cell.cell_type == "code":
            line = next((line for line in cell.source.splitlines() if line.strip()), "")
            print(f"{self._cell()}: {line[:100]}", flush=True)

    def _cell(self) -> str:
        """The one that is executed, by its number in the notebook as it was given."""
        if self._at == self._injected:
            return "the parameters"
        is_longer = self._injected >= 0
        number = self._at + 1 - (is_longer and self._at > self._injected)
        return f"cell {number} of {len(self._notebook.cells) - is_longer}"

    def _raised(self, error: Any) -> NotebookError:
        outputs = self._notebook.cells[self._at].outputs
        told: list[str] = next((each.traceback for each in outputs if each.output_type == "error"), [])
        trace = _TERMINAL_CODES.sub("", "\n".join(told)).splitlines()
        trace = [line for line in trace[:-1] if line.strip("-") and not line.endswith(_TRACE_HEAD)]
        place = next(filter(None, map(_PLACE.search, trace)), None)
        what = f"{error.ename}: {_IPYTHON_PLACE.sub('', error.evalue)}"
        return self._failed(what, 0 if place is None else int(place[1]), trace[-_TRACE_LINES:])

    def _failed(self, what: str, line: int = 0, trace: list[str] | None = None) -> NotebookError:
        cells = self._notebook.cells
        where = f"{self._path}, {self._cell()}" + (f", line {line}" if line else "")
        facts = []
        lines = cells[self._at].source.splitlines() if cells else []
        if 0 < line <= len(lines):
            facts.append(("source", lines[line - 1].strip()))
        if trace:
            facts.append(("trace", "".join(f"\n        {each.rstrip()}" for each in trace)))
        return NotebookError(f"{where}: {what}", facts)


async def _within(seconds: float | None, client: Any, parent: int) -> None:
    execution = asyncio.ensure_future(client.async_execute(preexec_fn=lambda: _end_with(parent)))
    if not (await asyncio.wait((execution,), timeout=seconds))[0]:
        client.shutdown_kernel = "immediate"
        execution.cancel()
        # It may see the end of its kernel before it sees that it was cancelled.
        await asyncio.wait((execution,))
        execution.cancelled() or execution.exception()
        raise asyncio.TimeoutError
    execution.result()


def _end_with(parent: int) -> None:
    """In the kernel, which has a session of its own: be killed when the job's process dies, however (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _with_ids(notebook: dict[str, Any]) -> dict[str, Any]:
    """Where the format wants ids of cells and they are missing, numbers: nbformat would take random ones."""
    if notebook.get("nbformat_minor", 0) >= 5:
        for number, cell in enumerate(notebook["cells"], 1):
            cell.setdefault("id", f"cell-{number}")
    return notebook
