"""Meta Networks."""
