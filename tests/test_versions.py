"""Versions of a job's result, brought back when what it is made from is flipped back."""

from __future__ import annotations

from projects import BUILD, Store, calls

FLIP = BUILD + (
    """
    mode = "MODE"
    job = ppg.FileGeneratingJob("out.txt", lambda out: (called(mode), out.write_text(mode * 3)))
    job.keep_versions(2)
    ppg.FileGeneratingJob("end.txt", lambda out: out.write_text(open("out.txt").read())).depends_on(job)
    ppg.run_pipegraph()
"""
)


def test_a_parameter_that_is_flipped_back_brings_back_what_was_made(projects, tmp_path):
    one = projects("one")
    for mode in "aba":
        one.run(FLIP.replace("MODE", mode))

    assert calls(tmp_path) == ["a", "b"]
    assert one.ended("brought back") == ["out.txt"]
    assert (one.folder / "end.txt").read_text() == "aaa"
    one.run()
    assert one.started == []


def test_the_versions_that_were_used_last_are_kept(projects, tmp_path):
    one = projects("one")
    for mode in "abcab":
        one.run(FLIP.replace("MODE", mode))

    assert calls(tmp_path) == ["a", "b", "c", "a", "b"]
    assert len(Store(one.folder / "cache" / "versions").entries) == 2


def test_versions_of_one_job_do_not_push_out_those_of_another(projects, tmp_path):
    one = projects("one")
    other = FLIP.replace('"out.txt"', '"other.txt"').replace("end.txt", "other_end.txt")
    one.run(other.replace("MODE", "z"))
    for mode in "ab":
        one.run(FLIP.replace("MODE", mode))
    (one.folder / "other.txt").unlink()
    one.run(other.replace("MODE", "z"))

    assert calls(tmp_path) == ["z", "a", "b"]


def test_many_short_jobs_are_all_kept_and_brought_back(projects, tmp_path):
    script = BUILD + (
        """
    for number in range(150):
        job = ppg.FileGeneratingJob(f"out/{number}", lambda out, number=number: out.write_text(f"{number} VERSION"))
        job.keep_versions(2)
    ppg.run_pipegraph()
"""
    )
    one = projects("one")
    for version in "aba":
        one.run(script.replace("VERSION", version))

    assert "150 brought back" in one.stderr
    assert all((one.folder / "out" / str(number)).read_text() == f"{number} a" for number in range(150))
