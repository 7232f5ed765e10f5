"""Random small graphs through several runs, against what must always hold (I1 to I6)."""

import random

import pytest
from engine_world import World

KINDS = ["output", "temp", "load", "output", "generator", "cache", "opaque"]


def random_world(pick: random.Random) -> World:
    world = World()
    invariants = [world.add(f"i{n}", "invariant") for n in range(pick.randint(1, 3))]
    names: list[str] = []
    for n in range(pick.randint(1, 8)):
        inputs = pick.sample(names, min(len(names), pick.randint(0, 3)))
        inputs += pick.sample(invariants, pick.randint(0, len(invariants)))
        kind = pick.choice(KINDS)
        name = world.add(f"{kind[0] if kind != 'opaque' else 'p'}{n}", kind, *inputs)
        names.append(name)
        if pick.random() < 0.2:
            # Its content does not depend on all of its inputs: early cut-off.
            world.address[name] = lambda parts, name=name: f"{name}:constant"
    return world


def change(world: World, pick: random.Random) -> None:
    for _ in range(pick.randint(1, 2)):
        what = pick.random()
        if what < 0.4:
            invariant = pick.choice(list(world.values))
            world.values[invariant] = pick.choice("123")
        elif what < 0.6 and world.files:
            del world.files[pick.choice(sorted(world.files))]
        elif what < 0.75 and world.files:
            world.files[pick.choice(sorted(world.files))] = pick.choice(["", "edited"])
        elif what < 0.9:
            jobs = [name for name, spec in world.specs.items() if name[0] != "i"]
            world.failing ^= {pick.choice(jobs)}
        else:
            edges = [(n, i) for n, s in world.specs.items() for i in s.inputs]
            if edges:
                name, gone = pick.choice(edges)
                spec = world.specs[name]
                world.specs[name] = spec._replace(inputs=tuple(each for each in spec.inputs if each != gone))


def check_end(world: World, ran) -> None:
    assert ran.ended
    for name, spec in world.specs.items():
        if spec.outputs and name[0] == "t" and name in world.files:
            bad = set(ran.failed) | set(ran.blocked) | set(ran.stopped)
            assert any(name in world.specs[each].inputs for each in bad) or name in bad, f"{name} is left over"
    if not ran.failed:
        assert not ran.blocked
        assert world.outputs() == world.built_from_nothing()


@pytest.mark.parametrize("seed", range(40))
def test_what_must_always_hold_does_on_random_graphs(seed):
    for nth in range(50):
        pick = random.Random(f"{seed} {nth}")
        world = random_world(pick)
        for _ in range(5):
            how = pick.random()
            if how < 0.25:
                world.run(pick.random(), cut_after=pick.randint(0, 12))
            elif how < 0.4:
                world.run(pick.random(), stop_after=pick.randint(1, 12))
            else:
                lose = pick.randint(1, 12) if pick.random() < 0.3 else None
                ran = world.run(pick.random(), lose_after=lose)
                check_end(world, ran)
                if lose is None:
                    assert len(ran.order) == len(set(ran.order))
                again = world.run(pick.random())
                if not ran.failed and not world.failing:
                    assert all(
                        world.specs[name].role.value == "generator" or name_of_load(world, name, again)
                        for name in again.order
                    ), (ran, again)
            change(world, pick)
        world.failing.clear()
        check_end(world, world.run(pick.random()))


def name_of_load(world, name, again):
    """A load (or a temp) that runs only since a generator needs it."""
    spec = world.specs[name]
    return spec.role.value == "ephemeral" and any(name in world.specs[other].inputs for other in again.order)
