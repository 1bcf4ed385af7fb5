"""One scenario per file; each is found through the entry-point group ``clbench.scenarios``."""
