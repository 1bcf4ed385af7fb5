"""Configurations shipped with clbench, one TOML file each; ``clbench list configs`` shows them."""
