"""The Avalanche bridge: its strategies and benchmarks here, our streams there. Nothing else imports Avalanche."""
