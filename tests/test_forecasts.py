"""What jobs are expected to need, from what they and their like took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipegraph.coordinator.forecasts import LIKE_JOBS, STEP_BYTES, Forecasts
from pipegraph.estimates import Estimates
from pipegraph.model import JobSpec, Past, Place, Role, Trace, Usage

MEGABYTE = 1 << 20
GIGABYTE = 1 << 30
HERE, THERE = Place("script.py", 1), Place("script.py", 2)


def job(name: str, inputs: tuple[str, ...] = (), place: Place = HERE) -> JobSpec:
    return JobSpec(name, Role.OUTPUT, "FileGeneratingJob", place, (name,), inputs)


def took(gigabytes: float, seconds: float = 60.0, **more: str) -> Past:
    return Past(Trace({}, "f", seconds=seconds, peak_bytes=int(gigabytes * GIGABYTE), **more))  # type: ignore[arg-type]


def forecasts(
    pasts: Mapping[str, Past],
    specs: list[JobSpec],
    sizes: dict[str, int] | None = None,
    is_begun: bool = True,
    share_bytes: int = 1 << 40,
) -> Forecasts:
    estimates = Estimates()
    estimates.remember(pasts)
    if is_begun:
        estimates.begin(specs, specs)
    known = Forecasts(estimates, (sizes or {}).get, share_bytes)
    known.remember(pasts)
    known.grow(specs)
    return known


def gigabytes(known: Forecasts, spec: JobSpec) -> float | None:
    expected = known.memory_of(spec)
    assert expected is None or (expected > 0 and expected % STEP_BYTES == 0)
    return None if expected is None else round(expected / GIGABYTE, 1)


# --- what it took itself


def test_a_job_is_expected_to_take_what_it_took_and_a_tenth() -> None:
    a, b = job("a"), job("b")
    known = forecasts({"a": took(10, 60.0), "b": took(100, 5.0)}, [a, b])

    assert gigabytes(known, a) == 11.0
    assert gigabytes(known, b) == 110.0
    assert (known.seconds_of(a), known.seconds_of(b)) == (60.0, 5.0)


def test_of_a_job_without_its_like_nothing_is_expected() -> None:
    a = job("a")
    known = forecasts({"b": took(10)}, [a, job("b", place=THERE)])

    assert known.memory_of(a) is None
    assert known.seconds_of(a) is None


@pytest.mark.parametrize("past", [Past(), Past(has_failed=True), took(5, brought_back="the store"), took(0, 60.0)])
def test_a_past_that_says_nothing_of_memory_is_not_believed(past: Past) -> None:
    a = job("a")

    assert forecasts({"a": past}, [a]).memory_of(a) is None
    assert gigabytes(forecasts({"a": past, "b": took(2)}, [a, job("b")]), a) == 2.2


@pytest.mark.parametrize(("seconds", "expected"), [(0.001, STEP_BYTES), (0.05, 64 * MEGABYTE), (0.099, 112 * MEGABYTE)])
def test_a_job_too_short_to_be_measured_is_expected_to_take_what_can_be_filled_in_that_time(
    seconds: float, expected: int
) -> None:
    a = job("a")

    assert forecasts({"a": took(0, seconds)}, [a]).memory_of(a) == expected


# --- what its like took


def test_inputs_of_similar_size_are_what_counts() -> None:
    sizes = {"1": 100, "2": 150, "3": 1000, "new": 90}
    made = [job(f"a{name}", (name,)) for name in "123"]
    new = job("new job", ("new",))
    known = forecasts({"a1": took(3), "a2": took(4), "a3": took(50)}, [*made, new], sizes)

    assert gigabytes(known, new) == 4.4


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (100, 1.0),  # as similar
        (200, 1.0),  # still similar
        (201, 2.0),  # between the two
        (400, 4.0),
        (1100, 10.0),
        (9, 0.5),  # smaller than all: half of the next larger
    ],
)
def test_between_two_sizes_it_is_in_proportion(size: int, expected: float) -> None:
    sizes = {"small": 100, "large": 1000, "new": size}
    made = [job("a", ("small",)), job("b", ("large",))]
    new = job("new job", ("new",))
    known = forecasts({"a": took(1 / 1.1), "b": took(10 / 1.1)}, [*made, new], sizes)

    assert gigabytes(known, new) == pytest.approx(expected, abs=0.051)


def test_more_input_than_ever_needs_more_in_proportion_and_a_library_is_not_multiplied() -> None:
    sizes = {"some": GIGABYTE, "tiny": 1000, "new": 4 * GIGABYTE}
    data, imports, new, other = (
        job("a", ("some",)),
        job("b", ("tiny",), THERE),
        job("c", ("new",)),
        job("d", ("new",), THERE),
    )
    known = forecasts({"a": took(5), "b": took(0.2)}, [data, imports, new, other], sizes)

    assert gigabytes(known, new) == 22.0
    assert gigabytes(known, other) == pytest.approx(1.1 * (0.2 + 40), abs=0.1)


def test_where_no_size_is_known_the_most_that_its_like_took_counts() -> None:
    made = [job(name) for name in "abc"]
    known = forecasts({"a": took(3), "b": took(7), "c": took(5)}, [*made, new := job("new", ("unknown",))])

    assert gigabytes(known, new) == 7.7


def test_the_size_of_inputs_is_the_sum_of_those_that_are_known() -> None:
    sizes = {"1": 100, "2": 300, "3": 390}
    known = forecasts(
        {"a": took(1), "b": took(8)},
        [job("a", ("1",)), job("b", ("1", "2", "a function")), new := job("c", ("3",))],
        sizes,
    )

    assert gigabytes(known, new) == 8.8


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 100)), min_size=1, max_size=6), st.integers(0, 3000))
def test_never_less_than_what_a_smaller_input_took_nor_more_than_a_larger_one_and_all_smaller(
    made: list[tuple[int, int]], size: int
) -> None:
    specs = [job(f"a{number}", (f"i{number}",)) for number in range(len(made))]
    sizes = {f"i{number}": size for number, (size, _) in enumerate(made)} | {"new": size}
    new = job("new job", ("new",))
    known = forecasts({f"a{number}": took(peak) for number, (_, peak) in enumerate(made)}, [*specs, new], sizes)
    expected = known.memory_of(new)

    assert expected is not None
    similar = [peak for each, peak in made if each <= 2 * size and size <= 2 * each]
    smaller = [peak for each, peak in made if each <= size]
    if similar:
        assert expected >= max(similar) * 1.1 * GIGABYTE
    else:
        assert expected >= max(smaller, default=0) * 1.1 * GIGABYTE
    if any(each >= size for each, _ in made):
        assert expected <= max(peak for _, peak in made) * 1.1 * GIGABYTE + STEP_BYTES


def test_times_of_its_like_are_known_before_the_sums_over_all_jobs_are() -> None:
    specs = [job("a"), job("b"), new := job("new")]
    pasts = {"a": took(1, 10.0), "b": took(1, 30.0)}

    assert forecasts(pasts, specs, is_begun=False).seconds_of(new) == 20.0
    assert forecasts(pasts, specs, is_begun=True).seconds_of(new) == 20.0


# --- what happens in this run


def test_what_ended_in_this_run_counts_for_it_and_for_its_like() -> None:
    a, b = job("a"), job("b")
    known = forecasts({}, [a, b])
    assert known.memory_of(b) is None

    known.learn(a, Usage(1.0, 60.0, 60.0, 2 * GIGABYTE))

    assert gigabytes(known, a) == gigabytes(known, b) == 2.2
    assert known.seconds_of(b) == 60.0
    known.learn(a, Usage(1.0, 60.0, 60.0, 3 * GIGABYTE))
    assert gigabytes(known, a) == 3.3


def test_a_time_without_memory_teaches_nothing() -> None:
    a = job("a")
    known = forecasts({"a": took(2)}, [a])

    known.learn(a, Usage(1.0, 60.0))

    assert gigabytes(known, a) == 2.2


def test_a_job_that_failed_for_memory_gets_half_as_much_again_and_never_less() -> None:
    a, b = job("a"), job("b", place=THERE)
    known = forecasts({"a": took(2)}, [a, b])

    known.raise_memory("a", 4 * GIGABYTE)
    known.raise_memory("b", 2 * GIGABYTE)
    assert (gigabytes(known, a), gigabytes(known, b)) == (6.0, 3.0)
    known.raise_memory("a", 1 * GIGABYTE)
    assert gigabytes(known, a) == 6.0
    known.raise_memory("b", 3 * GIGABYTE)
    assert gigabytes(known, b) == 4.5


# --- how much is looked at


class Counting(dict[str, Past]):
    asked = 0

    def get(self, name: str, default: Past | None = None) -> Past | None:  # type: ignore[override]
        self.asked += 1
        return super().get(name, default)


@pytest.fixture
def many() -> Iterator[tuple[Counting, list[JobSpec]]]:
    specs = [job(f"a{number}", (f"in{number}",)) for number in range(5000)]
    yield Counting({spec.id: took(number + 1) for number, spec in enumerate(specs)}), specs


def test_of_many_jobs_only_the_last_of_the_same_place_are_looked_at(many: tuple[Counting, list[JobSpec]]) -> None:
    pasts, specs = many
    new = [job("new", ("nothing",)), job("newer")]
    elsewhere = [job(f"b{number}", place=THERE) for number in range(5000)]
    known = forecasts(pasts, [*elsewhere, *specs, *new], is_begun=False)
    assert pasts.asked == 0

    assert [gigabytes(known, each) for each in new] == [5500.0, 5500.0]
    assert pasts.asked <= 2 * (LIKE_JOBS + 4)


def test_of_this_run_the_last_are_kept(many: tuple[Counting, list[JobSpec]]) -> None:
    pasts, specs = many
    known = forecasts(pasts, [*specs, new := job("new")], is_begun=False)
    known.memory_of(new)

    for spec in specs[:LIKE_JOBS]:
        known.learn(spec, Usage(1.0, 60.0, 60.0, GIGABYTE))

    assert gigabytes(known, new) == 1.1


def test_invariants_are_no_like_of_jobs() -> None:
    spec = JobSpec("FIa", Role.INVARIANT, "FunctionInvariant", HERE)
    known = forecasts({"FIa": took(1)}, [spec, new := job("a")], is_begun=False)

    assert known.memory_of(new) is None


def test_a_job_too_short_to_be_measured_is_taken_to_need_no_more_than_a_cores_share():
    spec = job("a")
    known = forecasts({"a": took(0.0, 0.09)}, [spec], share_bytes=GIGABYTE // 16)

    assert 0 < known.memory_of(spec) <= GIGABYTE // 16
    large = job("b")
    assert forecasts({"b": took(2.0, 5.0)}, [large], share_bytes=GIGABYTE // 2).memory_of(large) > 2 * GIGABYTE


def test_the_time_of_a_job_of_which_nothing_is_known_is_the_mean_of_all_or_a_second():
    spec = job("a")

    assert forecasts({}, [spec]).expected_seconds_of(spec) == 1.0
