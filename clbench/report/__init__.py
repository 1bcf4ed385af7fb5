"""One self-contained HTML file with everything below some folders."""
