"""Cannot be imported, and must break nothing else."""

raise RuntimeError("out of order")
