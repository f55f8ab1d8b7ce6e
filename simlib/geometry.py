"""Which angles the zenith, a target and the Moon can have between them.

They are the sides of a triangle on the sphere: none is longer than the other two together, and all
three are at most a full circle. What draws a geometry and what judges one both ask here.
"""

import numpy as np

SLACK_DEG = 1e-9  # of rounding


def angles_apart(first_deg: np.ndarray, second_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest third side beside two sides of 0-180 degrees; broadcasts."""
    both = np.asarray(first_deg) + second_deg
    return np.abs(np.asarray(first_deg) - second_deg), np.minimum(both, 360.0 - both)


def is_impossible(
    zenith_angle_deg: np.ndarray,
    moon_zenith_angle_deg: np.ndarray,
    moon_target_angle_deg: np.ndarray,
) -> np.ndarray:
    """Return where no three directions have these mutual angles, bool; broadcasts."""
    nearest, farthest = angles_apart(zenith_angle_deg, moon_zenith_angle_deg)
    too_near = moon_target_angle_deg < nearest - SLACK_DEG
    return np.asarray(too_near | (moon_target_angle_deg > farthest + SLACK_DEG))
