"""Seeds of `tests.simulation.graphs.jobs_of` that have failed once, and what was wrong then.

A graph that is added there makes other jobs of them: write down here what was wrong, too, and test that where it was.
"""

BAD_SEEDS: dict[int, str] = {
    60: "a claim that was done, but not reported, left a run that a living engine owned and that nobody drove",
}
