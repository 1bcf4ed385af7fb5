"""A plug-in package for clbench: a strategy, a scenario, a dataset, and a module that cannot be imported."""
