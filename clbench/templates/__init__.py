"""What ``clbench new`` writes: ``string.Template`` files, shipped as package data."""
