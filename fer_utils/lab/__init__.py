"""For us: running the notebooks in batch, and benchmarks."""
