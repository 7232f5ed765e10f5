"""Looking ahead from a graph and what its directory holds, as a run begins; but nothing is written."""

from __future__ import annotations

from typing import Any

from ..graph import Graph
from ..invariants.clock import FileClocks
from ..status import Glance
from ..status.explaining import Explaining
from ..status.survey import survey
from .ahead import Explain, InputsOf, Outlook, outlook_of
from .changes import changes_of


def look_ahead(graph: Graph, changed: Any) -> Outlook:
    """What a run would do, and if `changed` is not None: what follows from that.

    Raises
    ------
    StatusError
        The status file is a newer version's, or can't be read.
    TypeError, JobContractError
        `changed` is, or names, something that this graph does not have.
    """
    specs = graph.specs()
    changes = None if changed is None else changes_of(changed, graph, specs)
    status = Glance.of(graph.invariant_status_filename)
    # A file system that is asked how it stamps changes is written to.
    clocks = FileClocks(ask=lambda directory: None)
    arrival = survey(specs, (), None, status, graph.accepts, clocks)
    warnings = []
    if status.is_foreign:
        name = graph.invariant_status_filename
        warnings = [f"{name} is not a status file of pipegraph: a run will set it aside, and make everything."]
    explaining = Explaining(status, graph.explain, graph.maker_id)

    def explained(inputs_of: InputsOf) -> Explain:
        explaining.inputs_now = inputs_of
        return explaining.changes

    return outlook_of(arrival, graph.rc.cores, changes, warnings, explained, status.is_to_be_adopted)
