"""The parts of the benchmarks: each module measures one thing and returns its tables."""
