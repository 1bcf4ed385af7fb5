"""From result files to tables: collect runs, group what is comparable, compare, print."""
