"""How long the way is from each job to an end."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipegraph.order import longest_ways


@pytest.mark.parametrize(
    ("dependents", "seconds", "ways"),
    [
        ([], [], []),
        ([()], [3.0], [3.0]),
        ([(1,), ()], [1.0, 2.0], [3.0, 2.0]),
        ([(1, 2), (), ()], [1.0, 2.0, 5.0], [6.0, 2.0, 5.0]),
        ([(), (0,)], [1.0, 2.0], [1.0, 3.0]),
        ([(), (0, 2), (0,)], [1.0, 2.0, 4.0], [1.0, 7.0, 5.0]),
        ([(1,), ()], [0.0, 0.0], [0.0, 0.0]),
    ],
    ids=["none", "one", "chain", "fork", "declared last first", "one of two first", "nothing to run"],
)
def test_a_way_is_a_job_and_the_longest_way_after_it(dependents, seconds, ways):
    assert longest_ways(dependents, seconds) == ways


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_chain_of_a_hundred_thousand_is_no_recursion(is_reversed):
    count = 100_000
    chain = [(at - 1,) if at else () for at in range(count)]
    if not is_reversed:
        chain = [(at + 1,) if at + 1 < count else () for at in range(count)]

    assert max(longest_ways(chain, [1.0] * count)) == count


def test_jobs_that_are_new_are_worth_what_comes_after_them_and_the_others_stay():
    assert longest_ways([(1, 2), (), (3,), (1,)], [1.0, 2.0, 5.0, 4.0], known=[3.0, 2.0]) == [3.0, 2.0, 11.0, 6.0]


@given(st.integers(1, 12), st.randoms(use_true_random=False))
def test_whatever_the_order_of_declaration_the_ways_are_those_of_the_graph(count, pick):
    rank = list(range(count))
    pick.shuffle(rank)
    dependents = [
        [each for each in range(count) if rank[each] > rank[job] and pick.random() < 0.4] for job in range(count)
    ]
    seconds = [float(pick.randrange(5)) for _ in range(count)]
    ways = longest_ways(dependents, seconds)

    for job in random.Random(1).sample(range(count), count):
        assert ways[job] == seconds[job] + max((ways[each] for each in dependents[job]), default=0.0)
