"""The number of the simulator's physics, which every identity of its results holds."""

# Raised by hand when the simulator's results change; a test with golden values guards it.
PHYSICS_VERSION = 3
