"""From results to documents that quote them: marked sections, and published numbers beside ours."""
