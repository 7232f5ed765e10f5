"""Who may take what of the cores that runs share: the rules on all sorts of lines, and whole runs in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from pipegraph.machine.sharing import Amounts, Claimant, rest_seconds, share_cores, takers

NOW = 100.0


@st.composite
def machines(draw):
    total = Amounts(draw(st.integers(1, 12)), draw(st.integers(1, 40)))
    free_cores, free_bytes = total
    claimants = []
    for _ in range(draw(st.integers(1, 6))):
        held = Amounts(draw(st.integers(0, free_cores)), draw(st.integers(0, free_bytes)))
        free_cores, free_bytes = free_cores - held.cores, free_bytes - held.memory_bytes
        wanted = draw(st.none() | st.builds(Amounts, st.integers(1, total.cores), st.integers(0, total.memory_bytes)))
        claimants.append(
            Claimant(
                draw(st.integers(1, total.cores)),
                held,
                wanted,
                draw(st.floats(0, NOW)),
                draw(st.sampled_from([0.0, NOW + 50])),
            )
        )
    return total, claimants


def fits(wanted: Amounts, free: Amounts) -> bool:
    return wanted.cores <= free.cores and wanted.memory_bytes <= free.memory_bytes


def free_of(total: Amounts, claimants: list[Claimant]) -> Amounts:
    return Amounts(
        total.cores - sum(each.held.cores for each in claimants),
        total.memory_bytes - sum(each.held.memory_bytes for each in claimants),
    )


def is_entitled(each: Claimant, share: float) -> bool:
    """Something is to be kept for it."""
    assert each.wanted is not None
    within = each.held.cores + each.wanted.cores <= share
    return within or (each.wanted.cores > share and each.rests_until <= NOW)


@given(machines())
def test_all_who_may_take_together_take_no_more_than_there_is(machine):
    total, claimants = machine
    free = free_of(total, claimants)

    taken = [claimants[at].wanted for at in takers(total, claimants, NOW)]

    assert sum(each.cores for each in taken) <= free.cores
    assert sum(each.memory_bytes for each in taken) <= free.memory_bytes


@given(machines())
def test_nothing_that_fits_waits_but_for_one_that_it_is_kept_for(machine):
    total, claimants = machine
    free = free_of(total, claimants)
    share = share_cores(total.cores, claimants)
    waiting = [each for each in claimants if each.wanted is not None]

    if not takers(total, claimants, NOW) and any(fits(each.wanted, free) for each in waiting):
        assert any(is_entitled(each, share) and not fits(each.wanted, free) for each in waiting)


@given(machines())
def test_who_takes_more_than_its_share_takes_nothing_of_what_is_kept(machine):
    total, claimants = machine
    free = free_of(total, claimants)
    share = share_cores(total.cores, claimants)
    found = [claimants[at] for at in takers(total, claimants, NOW)]
    kept = [each for each in claimants if each.wanted is not None and is_entitled(each, share)]

    beyond = [each for each in found if not is_entitled(each, share)]
    if beyond:
        asked = sum(each.wanted.cores for each in [*kept, *beyond])
        assert asked <= free.cores


@given(machines())
def test_the_first_in_front_that_came_goes_first(machine):
    total, claimants = machine
    share = share_cores(total.cores, claimants)
    front = [at for at, each in enumerate(claimants) if each.wanted is not None and is_entitled(each, share)]
    if front:
        first = min(front, key=lambda at: claimants[at].since)

        is_first_free = fits(claimants[first].wanted, free_of(total, claimants))
        assert (first in takers(total, claimants, NOW)) == is_first_free


@given(machines())
def test_shares_use_all_cores_and_leave_nobody_less_than_another_who_wants_more(machine):
    total, claimants = machine
    share = share_cores(total.cores, claimants)
    demands = [each.held.cores if each.wanted is None else each.ceiling_cores for each in claimants]
    given_cores = sum(min(share, demand) for demand in demands)

    assert given_cores <= total.cores + 1e-9
    assert given_cores > total.cores - 1e-9 or share >= max(demands)


def test_a_run_that_is_alone_may_have_everything():
    assert takers(Amounts(4, 0), [Claimant(4, Amounts(3, 0), Amounts(1, 0))], NOW) == [0]
    assert takers(Amounts(4, 0), [Claimant(4, Amounts(0, 0), Amounts(4, 0), 0.0, NOW + 9)], NOW) == [0]


def test_who_wants_more_than_there_is_gets_all():
    assert takers(Amounts(4, 9), [Claimant(8, Amounts(0, 0), Amounts(8, 99))], NOW) == [0]
    assert takers(Amounts(4, 9), [Claimant(8, Amounts(1, 0)), Claimant(8, Amounts(0, 0), Amounts(8, 99))], NOW) == []


def test_a_job_without_memory_passes_one_that_only_memory_is_kept_for():
    hungry = Claimant(4, Amounts(0, 0), Amounts(1, 90), since=1.0)
    small = Claimant(4, Amounts(0, 0), Amounts(1, 0), since=2.0)
    holder = Claimant(4, Amounts(1, 50))

    assert takers(Amounts(4, 100), [hungry, small, holder], NOW) == [1]


def test_nobody_passes_a_large_claim_whose_turn_it_is():
    large = Claimant(4, Amounts(0, 0), Amounts(4, 0), since=1.0)
    beyond = Claimant(4, Amounts(2, 0), Amounts(1, 0), since=0.5)
    within = Claimant(4, Amounts(0, 0), Amounts(1, 0), since=2.0)

    assert takers(Amounts(4, 0), [large, beyond], NOW) == []
    assert takers(Amounts(4, 0), [large, beyond, within], NOW) == []
    assert takers(Amounts(4, 0), [large._replace(rests_until=NOW + 1), beyond], NOW) == [1]


def test_in_front_age_counts_and_behind_who_has_less():
    holder = Claimant(4, Amounts(4, 0))
    older = Claimant(6, Amounts(1, 0), Amounts(1, 0), since=1.0)
    younger = Claimant(6, Amounts(0, 0), Amounts(1, 0), since=2.0)
    assert takers(Amounts(6, 0), [younger, older, holder], NOW) == [1]

    # Of five cores two runs share two and a half each.
    more = Claimant(5, Amounts(2, 0), Amounts(1, 0), since=1.0)
    less = Claimant(5, Amounts(1, 0), Amounts(2, 0), since=2.0)
    assert takers(Amounts(5, 0), [more, less], NOW) == [1]


# --- whole runs, in memory


@dataclass
class Run:
    """A stream of jobs: cores and seconds of each."""

    jobs: list[tuple[int, float]]
    ends: list[tuple[float, int]] = field(default_factory=list)
    since: float | None = None
    rests_until: float = 0.0
    used: float = 0.0
    waited: float = 0.0

    @property
    def held(self) -> int:
        return sum(cores for _, cores in self.ends)

    def claimant(self, total: int) -> Claimant:
        wanted = None if self.since is None else Amounts(self.jobs[0][0], 0)
        return Claimant(total, Amounts(self.held, 0), wanted, self.since or 0.0, self.rests_until)


def simulate(total: int, runs: list[Run], until: float = float("inf")) -> float:
    """As the ledger does it; when all was done."""
    now = 0.0
    while now < until:
        for run in runs:
            if run.jobs and run.since is None:
                run.since = now
        while found := takers(Amounts(total, 0), [run.claimant(total) for run in runs], now):
            run = runs[found[0]]
            cores, seconds = run.jobs.pop(0)
            run.waited = max(run.waited, now - run.since)
            run.ends.append((now + seconds, cores))
            run.used += cores * seconds
            run.since = now if run.jobs else None
            assert sum(each.held for each in runs) <= total
        times = [at for run in runs for at, _ in run.ends]
        times += [run.rests_until for run in runs if run.since is not None and run.rests_until > now]
        if not times:
            assert not any(run.jobs for run in runs), "all wait, and nobody holds anything"
            return now
        then = min(times)
        share = share_cores(total, [run.claimant(total) for run in runs])
        for run in runs:
            if any(other.since is not None for other in runs if other is not run):
                more = rest_seconds(run.held, share, then - now)
                if more:
                    run.rests_until = then + max(0.0, run.rests_until - now) + more
            run.ends = [(at, cores) for at, cores in run.ends if at > then]
        now = then
    return now


JOBS = st.lists(st.tuples(st.integers(1, 6), st.sampled_from([1.0, 2.0, 5.0, 11.0])), min_size=1, max_size=12)


@given(st.lists(JOBS, min_size=1, max_size=5))
def test_every_job_starts_in_the_end(streams):
    runs = [Run(list(jobs)) for jobs in streams]
    work = sum(seconds for jobs in streams for _, seconds in jobs)

    ended = simulate(6, runs)

    # One at a time at the slowest: never does everybody wait for nothing but the time, but for a rest of one.
    assert ended <= work


def test_a_stream_of_large_jobs_and_one_of_small_ones_have_turns_of_the_same_length():
    for large_seconds in (1.0, 7.0, 30.0):
        large = Run([(8, large_seconds)] * 10_000)
        small = Run([(1, 1.0)] * 100_000)
        simulate(8, [large, small], until=2000.0)

        assert 0.4 < large.used / (large.used + small.used) < 0.6, large_seconds
        assert large.waited < 3 * large_seconds + 10


def test_a_newcomer_gets_what_ends_until_both_have_their_share_and_no_more():
    old = Run([(1, 50.0)], ends=[(50.0, 1)] * 8, since=0.0)
    new = Run([(1, 50.0)], since=60.0)
    held = []
    total = Amounts(8, 0)
    for _ in range(8):
        old.ends.pop(0)
        position = takers(total, [old.claimant(8), new.claimant(8)], 60.0)[0]
        run = (old, new)[position]
        run.ends.append((1000.0, 1))
        held.append((old.held, new.held))

    assert held == [(7, 1), (6, 2), (5, 3), (4, 4), (4, 4), (4, 4), (4, 4), (4, 4)]


def test_two_that_hold_half_each_and_want_all_get_it_one_after_the_other():
    runs = [Run([(4, 3.0)], ends=[(5.0, 2)]), Run([(4, 3.0)], ends=[(7.0, 2)])]

    assert simulate(4, runs) == 13.0


def test_who_wants_less_than_its_share_leaves_the_rest_to_others():
    assert share_cores(8, [Claimant(8, Amounts(1, 0)), Claimant(8, Amounts(5, 0), Amounts(1, 0))]) == 7
    assert share_cores(8, [Claimant(2, Amounts(1, 0), Amounts(1, 0)), Claimant(8, Amounts(5, 0), Amounts(1, 0))]) == 6
