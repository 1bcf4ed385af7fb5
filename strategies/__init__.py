"""One method per file; each is found through the entry-point group ``clbench.strategies``."""
