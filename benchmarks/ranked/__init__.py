"""TinyMLPerf itself under test: whether copies come out as copies, and what a measurement takes."""
