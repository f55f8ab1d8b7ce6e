"""The README's figures, filled in from what is recorded of runs (`make results`)."""
