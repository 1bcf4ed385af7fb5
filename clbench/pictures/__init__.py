"""From tables to pictures: what is drawn, how it looks, and the same bytes every time."""
