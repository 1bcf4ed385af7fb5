"""What every strategy promises, as checks that can fail: ``clbench check``."""
