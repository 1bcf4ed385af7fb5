"""The built-in dataset readers, found through the entry-point group ``clbench.datasets``."""
