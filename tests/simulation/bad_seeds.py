"""Seeds of `tests.simulation.graphs.jobs_of` that have failed once, and what was wrong then."""

BAD_SEEDS: dict[int, str] = {
    0: "a snapshot of parallel branches was refused: what it packs are differences, and they may be negative",
}
