"""Jobs that need more than there is fail before anything starts, if it is certain that they would have to run."""

import pytest

BEGIN = "ppg.new_pipegraph(ppg.resource_coordinators.LocalSystem(2))\n"
JOBS = """
first = ppg.FileGeneratingJob("first", lambda path: path.write_text("1"))
big = ppg.FileGeneratingJob("big", lambda path: path.write_text("2")).depends_on(first)
ppg.FileGeneratingJob("behind", lambda path: path.write_text("3")).depends_on(big)
"""
RUN = "ppg.run_pipegraph()\n"


@pytest.mark.parametrize("needs", ["big.cores_needed = 10_000", "big.memory_needed = 10**18"])
def test_a_job_that_needs_more_than_there_is_fails_before_any_other_starts(script, needs):
    said = script.run(f"{BEGIN}{JOBS}{needs}\n{RUN}", code=1)

    log = (script.folder / "logs" / "ppg_run.txt").read_text().splitlines()
    words = [line.split()[2] for line in log]
    assert words.index("failed") < words.index("blocked") < words.index("started")
    assert script.started == ["first"]
    assert "needs more than there is" in said
    assert "big (script.py:" in said


def test_what_is_up_to_date_may_need_more_than_there_is(script):
    script.run(f"{BEGIN}{JOBS}{RUN}")

    script.run(f"{BEGIN}{JOBS}big.cores_needed = 10_000\n{RUN}")
    assert script.started == []


def test_a_job_that_perhaps_need_not_run_fails_only_when_it_is_known_that_it_must(script):
    script.run(f"{BEGIN}{JOBS}{RUN}")
    changed = JOBS.replace('"1"', '"4"')

    script.run(f"{BEGIN}{changed}big.cores_needed = 10_000\n{RUN}", code=1)
    assert script.started == ["first"]
    assert (script.folder / "first").read_text() == "4"
