"""Cells that are executed as Jupyter does, in a kernel of their own."""

import json

# Executes cells.json as Jupyter does; keeps every message of a kernel. A file `interrupt` is the button of that name.
JUPYTER = """
import asyncio, json, threading
import nbclient, nbformat

class Client(nbclient.NotebookClient):
    def process_message(self, message, cell, number):
        messages[number].append((message["msg_type"], message["content"]))
        return super().process_message(message, cell, number)

def interrupt():
    while not os.path.exists("interrupt"):
        time.sleep(0.01)
    asyncio.run(client.km.interrupt_kernel())

with open("cells.json") as source:
    cells = [nbformat.v4.new_code_cell(cell) for cell in json.load(source)]
messages = [[] for _ in cells]
client = Client(nbformat.v4.new_notebook(cells=cells), timeout=60, kernel_name="python3", allow_errors=True)
threading.Thread(target=interrupt, daemon=True).start()
client.execute()
with open("cells_after.json", "w") as out:
    json.dump([[cell.outputs, messages] for cell, messages in zip(cells, messages)], out)
"""


def executed(script, *cells):
    """The outputs of each cell, and what the kernel sent for it."""
    (script.folder / "cells.json").write_text(json.dumps(cells))
    del script.environment["PYTEST_CURRENT_TEST"]
    script.environment["HOME"] = str(script.folder)
    script.run(JUPYTER)
    return json.loads((script.folder / "cells_after.json").read_text())


def kinds(outputs):
    return [(output["output_type"], output.get("text", "")) for output in outputs]
