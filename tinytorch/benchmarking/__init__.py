"""TinyMLPerf: three events in which models are measured, ranked, and held to their word."""
