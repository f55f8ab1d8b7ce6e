"""The exposure time calculator: observing conditions in, separate terms out."""
