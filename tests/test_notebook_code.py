"""What of a notebook counts: its code cells, in Python by what is written."""

import json
from pathlib import Path

import pytest

from pipegraph.explanations import changes_between
from pipegraph.invariants.notebooks import is_plain, parsed_notebook, python_code, read_notebook


def notebook(*sources, tags=(), language="python", kernel="python3", others=(), **cell):
    cells = [
        {"cell_type": "code", "source": source, "metadata": {"tags": list(tags)}, "outputs": [], **cell}
        for source in sources
    ]
    spec = {"name": kernel, "language": language}
    return parsed_notebook(
        json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": spec}, "cells": [*others, *cells]})
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x=1  # one"),
        ("x = 1", "\n\nx = (\n    1\n)\n"),
        ("f('a')", 'f("a")'),
        ("# only words", ""),
        ("%matplotlib inline\nx = 1", "%matplotlib inline\nx=1 # one"),
        ("files = !ls\nx = 1", "files = !ls\n\nx = 1  # one"),
        ("def f():\n    '''Words.'''\n    return 1", "def f():\n    return 1"),
    ],
)
def test_layout_and_comments_of_a_cell_do_not_count(one, other):
    assert python_code(one) == python_code(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 2"),
        ("x = 1", "y = 1"),
        ("%matplotlib inline", "%matplotlib notebook"),
        ("!ls", "!ls -l"),
        ("    !ls\nx = 1", "    !ls -l\nx = 1"),
        ("files = !ls\nx = 1", "files = !ls -l\nx = 1"),
        ("files = !ls", "names = !ls"),
        ("%%bash\nls", "%%bash\nls -l"),
        ("%%bash\nls # a", "%%bash\nls # b"),
        ("x == = 1", "x == = 2"),
        ("plot(x)", "plot(x);"),
        ("plot('é')", "plot('é');  # silent"),
        ("x = 1\n'shown'", "x = 1\n'also shown'"),
        ("x = 1\n1", "x = 1"),
        ("a = (b\n% c)", "a = (b\n% d)"),
    ],
)
def test_what_a_cell_does_or_shows_counts(one, other):
    assert python_code(one) != python_code(other)


def test_a_semicolon_is_found_behind_any_kind_of_line_end():
    assert notebook("x = 1\rplot(x);").fingerprint() == notebook("x = 1\r\nplot(x);").fingerprint()
    assert notebook("x = 1\rplot(x);").fingerprint() != notebook("x = 1\rplot(x)").fingerprint()


def test_text_cells_outputs_counts_and_ids_do_not_count():
    words = {"cell_type": "markdown", "source": ["# Title"], "metadata": {}}
    ran = notebook("x = 1", others=[words], execution_count=7, outputs=[{"output_type": "stream"}], id="abc")

    assert ran.fingerprint() == notebook("x = 1").fingerprint()
    assert ran.fingerprint() == notebook(["x ", "= ", "1"]).fingerprint()


def test_the_kernel_counts_and_tags_by_which_cells_are_executed_otherwise():
    plain = notebook("x = 1").fingerprint()

    assert notebook("x = 1", kernel="conda").fingerprint() != plain
    assert notebook("x = 1", tags=["raises-exception"]).fingerprint() != plain
    assert notebook("x = 1", tags=["skip-execution"]).fingerprint() != plain
    assert notebook("x = 1", tags=["parameters"]).fingerprint() != plain
    assert notebook("x = 1", tags=["hide-input"]).fingerprint() == plain


def test_the_order_and_the_number_of_cells_count():
    assert notebook("a", "b").fingerprint() != notebook("b", "a").fingerprint()
    assert notebook("a\nb").fingerprint() != notebook("a", "b").fingerprint()
    assert notebook("a", "# words", "b").fingerprint() == notebook("a", "b").fingerprint()


def test_other_languages_count_by_their_text():
    assert notebook("x <- 1", language="R").fingerprint() != notebook("x <- 1 # one", language="R").fingerprint()
    assert notebook("x <- 1", language="R").fingerprint() == notebook("x <- 1\n", language="R").fingerprint()


def test_what_changed_is_told_by_cell():
    before = parsed_notebook(
        json.dumps(
            {"nbformat": 4, "metadata": {}, "cells": [code("aa", "x = 1"), code("bb", "y = 2"), code("cc", "z = 3")]}
        )
    )
    now = parsed_notebook(
        json.dumps(
            {"nbformat": 4, "metadata": {}, "cells": [code("aa", "x = 1"), code("bb", "y = 3"), code("cc", "z=3")]}
        )
    )

    assert [change.lines() for change in changes_between(before.explanation(), now.explanation())] == [
        ["cell bb: y = 2 -> y = 3"]
    ]


def test_a_moved_cell_is_told():
    cells = [code("aa", "x = 1"), code("bb", "y = 2")]
    before, now = (
        parsed_notebook(json.dumps({"nbformat": 4, "metadata": {}, "cells": each})) for each in (cells, cells[::-1])
    )

    assert [change.lines() for change in changes_between(before.explanation(), now.explanation())] == [
        ["order of the cells: aa, bb -> bb, aa"]
    ]


def test_secrets_in_cells_are_not_shown():
    explanation = notebook("password = 'swordfish'").explanation()

    assert "swordfish" not in str(explanation)


def test_modules_of_ones_own_that_cells_import_count_as_cells_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    imports = "%matplotlib inline\nimport os, numpy, package.inner as i\ndef f():\n    from helpers import load"
    cells = [code("aa", imports), code("bb", "import helpers\n%%not python")]
    Path("a.ipynb").write_text(json.dumps({"nbformat": 4, "metadata": {}, "cells": cells}))
    files = {
        "helpers.py": "import os\ndef load():\n    import deeper",
        "deeper.py": "x = 1",
        "package/__init__.py": "from . import beside\nfrom .. import above",
        "package/inner.py": "from .sub.leaf import x\nfrom package.other import *",
        "package/beside.py": "x = 1",
        "package/other.py": "x = 1",
        "package/sub/__init__.py": "",
        "package/sub/leaf.py": "from ..twice import x",
        "package/twice.py": "import helpers",
        "package/unused.py": "x = 1",
        "os.txt": "x = 1",
    }
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    before = read_notebook("a.ipynb")

    assert [path for path, _ in before.modules] == sorted(
        each for each in files if each.split(".")[0][-6:] not in ("unused", "os")
    )
    for name, text in files.items():
        Path(name).write_text(text + "\n# words")
        assert read_notebook("a.ipynb").fingerprint() == before.fingerprint()
        Path(name).write_text(text + "\ny = 2")
        is_other = read_notebook("a.ipynb").fingerprint() != before.fingerprint()
        assert is_other is (name in dict(before.modules)), name
        told = [change.name for change in changes_between(before.explanation(), read_notebook("a.ipynb").explanation())]
        assert told == [name] * is_other
        Path(name).write_text(text)


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("x = 1", "not the file of a Jupyter notebook"),
        ("[]", "not the file of a Jupyter notebook"),
        ("{}", "not the file of a Jupyter notebook"),
        ('{"nbformat": 4, "cells": [1]}', "not the file of a Jupyter notebook"),
        ('{"nbformat": 3, "worksheets": []}', "the notebook format 3, and not 4"),
    ],
)
def test_what_is_no_notebook_is_told(text, because):
    with pytest.raises(ValueError, match=because):
        parsed_notebook(text)


@pytest.mark.parametrize("value", [1, 1.5, "a'b\n", None, True, [1, {"a": (2,)}], b"x", {1, 2}])
def test_plain_values_can_be_written_down(value):
    assert is_plain(value)


@pytest.mark.parametrize("value", [object(), float("nan"), {"a": object()}, print])
def test_other_values_can_not_be_written_down(value):
    assert not is_plain(value)


def code(name, source):
    return {"cell_type": "code", "id": name, "source": source, "metadata": {}}
