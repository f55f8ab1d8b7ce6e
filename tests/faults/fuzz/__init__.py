"""Thousands of damaged and odd inputs, seeded: exit code 0 or 2, never 1, never a traceback."""
