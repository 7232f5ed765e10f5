"""Who starts next: 2 000 jobs of random lengths, cores and memory, the real coordinator, a clock that is only counted.

    python util/bench/schedule.py [--jobs 2000] [--seeds 5] [--shapes independent layers chains dag fork-join]

A machine of 64 cores and 512 GB. Each run is compared with a bound that none can beat: all work by all cores, all
memory by time, the longest way, whichever is longest; and with a closer one, which knows that where jobs wait for each
other the work that comes after them can't be done before.
"""

from __future__ import annotations

import random
import sys
import time
from bisect import insort
from collections.abc import Callable
from heapq import heappop, heappush
from typing import NamedTuple

import measuring
from measuring import median, thousands

sys.path.insert(0, measuring.PACKAGE)

from pipegraph.coordinator import Coordinator, Expected
from pipegraph.model import JobSpec, Place, Role
from pipegraph.order import longest_ways

CORES = 64
GB = 10**9
MEMORY = 512 * GB
PLACES = 20
SHAPES = ("independent", "layers", "chains", "dag", "fork-join")
AT_MOST = 1.05


class Mix(NamedTuple):
    """Jobs by number: a job's inputs have lower ones."""

    specs: list[JobSpec]
    seconds: list[float]
    inputs: list[list[int]]
    dependents: list[list[int]]


def inputs_of(shape: str, jobs: int, pick: random.Random) -> list[list[int]]:
    """Who waits for whom."""
    if shape == "independent":
        return [[] for _ in range(jobs)]
    if shape == "layers":  # ten, each job with two inputs of the layer before
        width = max(2, jobs // 10)
        return [
            [at // width * width - width + pick.randrange(width) for _ in range(2)] if at >= width else []
            for at in range(jobs)
        ]
    if shape == "chains":  # of twenty
        return [[at - 1] if at % 20 else [] for at in range(jobs)]
    if shape == "dag":
        return [
            [pick.randrange(max(0, at - 300), at) for _ in range(pick.randrange(3))] if at else [] for at in range(jobs)
        ]
    found: list[
        list[int]
    ] = []  # a stage is a fifth of all; after it one job waits for all of it, and the next for that
    width = max(2, jobs // 5)
    for at in range(jobs):
        stage, within = divmod(at, width)
        found.append(list(range(at - width + 1, at)) if within == width - 1 else [stage * width - 1] if stage else [])
    return found


def mix(shape: str, jobs: int, seed: int) -> Mix:
    """Lengths from seconds to hours, most jobs of one core, memory of 1 to 200 GB; jobs of one place are alike."""
    pick = random.Random(f"{shape} {seed}")
    places = [
        (pick.lognormvariate(4.5, 1.0), pick.choice((1, 1, 1, 1, 1, 2, 2, 4, 4, 8, 16)), pick.lognormvariate(1.2, 1.2))
        for _ in range(PLACES)
    ]
    specs, seconds = [], []
    for number in range(jobs):
        place = pick.randrange(PLACES)
        usual, cores, size = places[place]
        seconds.append(usual * pick.lognormvariate(0, 0.5))
        memory = int(min(200.0, max(1.0, size * cores * pick.lognormvariate(0, 0.3))) * GB)
        name = f"job {number}"
        specs.append(
            JobSpec(name, Role.OUTPUT, "FileGeneratingJob", Place("mix.py", place), cores=cores, memory_bytes=memory)
        )
    inputs = inputs_of(shape, jobs, pick)
    dependents: list[list[int]] = [[] for _ in range(jobs)]
    for number, needed in enumerate(inputs):
        for each in needed:
            dependents[each].append(number)
    return Mix(specs, seconds, inputs, dependents)


def bounds(mix: Mix) -> tuple[float, float, float]:
    """No run takes less: by cores, by memory, by the longest way."""
    work = sum(spec.cores * seconds for spec, seconds in zip(mix.specs, mix.seconds))
    memory = sum(spec.memory_bytes * seconds for spec, seconds in zip(mix.specs, mix.seconds))
    return work / CORES, memory / MEMORY, max(longest_ways(mix.dependents, mix.seconds))


def closer_bound(mix: Mix) -> float:
    """No run takes less, either: what comes after a job is a graph, too.

    Those that come after a job, and are followed by a certain time or more, must all be done between its end and that
    time before the end of the run. From the last job to the first, that time is itself found so.
    """
    count = len(mix.specs)
    after = [0] * count  # of each a bit for each job that comes after it
    tails: list[tuple[float, int]] = []  # negated time that follows, job: in order

    def following(jobs: int) -> float:
        most = cores = memory = 0.0
        for tail, job in tails:
            if jobs >> job & 1:
                cores += mix.specs[job].cores * mix.seconds[job]
                memory += mix.specs[job].memory_bytes * mix.seconds[job]
                most = max(most, mix.seconds[job] - tail, cores / CORES - tail, memory / MEMORY - tail)
        return most

    for job in reversed(range(count)):
        for each in mix.dependents[job]:
            after[job] |= after[each] | 1 << each
        insort(tails, (-following(after[job]), job))
    return following((1 << count) - 1)


class Times:
    """What jobs are expected to take, as a run learns it: the mean of those of one place that have ended."""

    def __init__(self, mix: Mix, is_known: bool, error: float = 0.0) -> None:
        pick = random.Random(1)
        self.are_known = is_known
        self._known = [each * pick.lognormvariate(0, error) for each in mix.seconds] if is_known else None
        self._places = [spec.place.line for spec in mix.specs]
        self._ended: dict[int, tuple[int, float]] = {}

    def seconds_of(self, job: int) -> float | None:
        if self._known is not None:
            return self._known[job]
        count, total = self._ended.get(self._places[job], (0, 0.0))
        return total / count if count else None

    def learn(self, job: int, seconds: float) -> None:
        count, total = self._ended.get(self._places[job], (0, 0.0))
        self._ended[self._places[job]] = count + 1, total + seconds

    def ways(self, mix: Mix) -> list[float]:
        found = [self.seconds_of(job) for job in range(len(mix.specs))]
        known = [each for each in found if each is not None]
        mean = sum(known) / len(known) if known else 1.0
        return longest_ways(mix.dependents, [mean if each is None else each for each in found])


class Ours:
    """The real one."""

    def __init__(self, mix: Mix, times: Times) -> None:
        self.coordinator = Coordinator(CORES, MEMORY)
        self.mix, self.times = mix, times
        self.number_of = {spec.id: number for number, spec in enumerate(mix.specs)}
        self.ways = times.ways(mix)
        self.ended = self.decisions = 0
        self.cpu_seconds = 0.0

    def expected(self, spec: JobSpec) -> Expected:
        job = self.number_of[spec.id]
        return Expected(self.ways[job], self.times.seconds_of(job))

    def submit(self, job: int) -> None:
        began = time.process_time()
        self.coordinator.submit(self.mix.specs[job], self.ways[job], self.times.seconds_of(job))
        self.cpu_seconds += time.process_time() - began

    def next_start(self, now: float) -> int | None:
        began = time.process_time()
        spec = self.coordinator.next_start(now)
        self.cpu_seconds += time.process_time() - began
        self.decisions += 1
        return None if spec is None else self.number_of[spec.id]

    def end(self, job: int) -> None:
        began = time.process_time()
        self.coordinator.end(self.mix.specs[job].id, self.mix.seconds[job])
        self.cpu_seconds += time.process_time() - began
        self.times.learn(job, self.mix.seconds[job])
        self.ended += 1
        if not self.times.are_known and self.ended.bit_count() == 1:
            self.ways = self.times.ways(self.mix)
            self.coordinator.revise(self.expected)


class ArrivalOrder:
    """As it was before there were priorities: in order of arrival, and later ones overtake four times a core."""

    def __init__(self, mix: Mix) -> None:
        self.mix = mix
        self.waiting: list[int] = []
        self.free = [CORES, MEMORY]
        self.overtaken = (-1, 0)

    def submit(self, job: int) -> None:
        self.waiting.append(job)

    def next_start(self, now: float) -> int | None:
        for at, job in enumerate(self.waiting):
            spec = self.mix.specs[job]
            if spec.cores > self.free[0] or spec.memory_bytes > self.free[1]:
                continue
            if at:
                waiting, times = self.overtaken
                times = times + 1 if waiting == self.waiting[0] else 1
                if times > 4 * CORES:
                    return None
                self.overtaken = self.waiting[0], times
            self.free[0] -= spec.cores
            self.free[1] -= spec.memory_bytes
            return self.waiting.pop(at)
        return None

    def end(self, job: int) -> None:
        self.free[0] += self.mix.specs[job].cores
        self.free[1] += self.mix.specs[job].memory_bytes


def simulate(mix: Mix, who: Ours | ArrivalOrder) -> float:
    """When the last job has ended."""
    missing = [len(each) for each in mix.inputs]
    running: list[tuple[float, int]] = []
    now = 0.0
    for job, needed in enumerate(mix.inputs):
        if not needed:
            who.submit(job)
    started = 0
    while True:
        while (found := who.next_start(now)) is not None:
            heappush(running, (now + mix.seconds[found], found))
            started += 1
        if not running:
            break
        now = running[0][0]
        while running and running[0][0] == now:
            job = heappop(running)[1]
            who.end(job)
            for each in mix.dependents[job]:
                missing[each] -= 1
                if not missing[each]:
                    who.submit(each)
    assert started == len(mix.specs), "jobs were left over"
    return now


WAYS: dict[str, Callable[[Mix], Ours | ArrivalOrder]] = {
    "known times": lambda mix: Ours(mix, Times(mix, True)),
    "known to 20 %": lambda mix: Ours(mix, Times(mix, True, 0.2)),
    "first sight": lambda mix: Ours(mix, Times(mix, False)),
    "arrival order": ArrivalOrder,
}


def ordering(jobs: int) -> float:
    """Processor seconds for the longest ways of so many jobs with two inputs each."""
    pick = random.Random(1)
    dependents: list[list[int]] = [[] for _ in range(jobs)]
    for job in range(1, jobs):
        for _ in range(2):
            dependents[pick.randrange(max(0, job - 1000), job)].append(job)
    seconds = [pick.random() for _ in range(jobs)]
    began = time.process_time()
    longest_ways(dependents, seconds)
    return time.process_time() - began


def deciding(jobs: int) -> float:
    """Processor microseconds for each call of `next_start` while so many wait with a thousand different needs."""
    pick = random.Random(1)
    sizes = [int(pick.lognormvariate(1.5, 1.2) * GB) for _ in range(1000)]
    coordinator = Coordinator(CORES, MEMORY)
    for job in range(jobs):
        spec = JobSpec(f"job {job}", Role.OUTPUT, "FileGeneratingJob", Place("mix.py", 1))
        coordinator.submit(spec, pick.random(), 100 * pick.random(), pick.choice(sizes))
    running: list[str] = []
    calls, now = 0, 0.0
    began = time.process_time()
    for _ in range(min(jobs, 2000)):
        while (found := coordinator.next_start(now)) is not None:
            running.append(found.id)
            calls += 1
        calls += 1
        now += 1.0
        coordinator.end(running.pop(pick.randrange(len(running))), 5.0)
    return 1e6 * (time.process_time() - began) / calls


def main() -> None:
    """Simulate, and print a row for each shape and way."""
    given = measuring.settings(
        __doc__, {"shapes": SHAPES}, jobs=(2000, 60), seeds=(5, 1), shapes=(list(SHAPES), ["independent", "chains"])
    )
    rows = []
    known: list[float] = []
    closer: list[float] = []
    for shape in given.shapes:
        found: dict[str, list[float]] = {name: [] for name in WAYS}
        closest = []
        for seed in range(given.seeds):
            jobs = mix(shape, given.jobs, seed)
            bound = max(bounds(jobs))
            for name, make in WAYS.items():
                measuring.say(f"{shape}, seed {seed}: {name}")
                found[name].append(simulate(jobs, make(jobs)) / bound)
            closest.append(found["known times"][-1] * bound / closer_bound(jobs))
        rows.append(
            (
                shape,
                f"{median(closest):.3f} ({max(closest):.3f})",
                *(f"{median(each):.3f} ({max(each):.3f})" for each in found.values()),
            )
        )
        known.append(median(found["known times"]))
        closer.append(median(closest))
    measuring.table(("graph", "known, closer bound", *WAYS), rows)
    measuring.verdict("known times, 1.05 times the bound", f"{max(known):.3f}", max(known) <= AT_MOST)
    measuring.verdict("the same, of the closer bound", f"{max(closer):.3f}", max(closer) <= AT_MOST)
    many = 1000 if given.quick else 100_000
    seconds = min(ordering(many) for _ in range(3))
    measuring.verdict(f"{thousands(many)} jobs ordered in 0.1 s", f"{seconds:.3f} s of processor", seconds < 0.1)
    print(f"a decision, {thousands(many)} waiting with 1 000 different needs: {deciding(many):.0f} µs")


if __name__ == "__main__":
    main()
