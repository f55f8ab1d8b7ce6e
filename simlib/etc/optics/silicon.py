"""How light is absorbed and refracted in a silicon detector."""

import numpy as np

from simlib.etc.shipped_tables import embedded

# As both calculators round them; their figures of silicon belong to these.
BOLTZMANN_EV_K, PHOTON_EV_NM = 8.617e-5, 1239.842
PHONONS_EV = ((5.5, 0.01827), (4.0, 0.05773))  # coupling, energy
INDIRECT_GAPS_EV = ((323.1, 1.1557), (7237.0, 2.5))  # coefficient, energy
DIRECT_GAP_EV = (1.052e6, 3.2)


def absorption_length_um(wavelength_nm: np.ndarray, temperature_k: float) -> np.ndarray:
    """Return the depth at which 1/e of the light is left, micron, same shape.

    Rajkanan, Singh & Shewchun 1979, Solid-State Electronics 22, 793.
    """
    energy = PHOTON_EV_NM / np.asarray(wavelength_nm, dtype=np.float64)
    shift = 7.021e-4 * temperature_k**2 / (temperature_k + 1108.0)
    coefficient, gap = DIRECT_GAP_EV
    alpha = coefficient * np.sqrt(np.maximum(energy - gap + shift, 0.0))
    for coupling, phonon in PHONONS_EV:
        occupancy = phonon / (BOLTZMANN_EV_K * temperature_k)
        for coefficient, gap in INDIRECT_GAPS_EV:
            absorbed = np.maximum(energy - gap + shift + phonon, 0.0) ** 2 / np.expm1(occupancy)
            emitted = np.maximum(energy - gap + shift - phonon, 0.0) ** 2 / -np.expm1(-occupancy)
            alpha = alpha + coupling * coefficient * (absorbed + emitted)
    return 1e4 / alpha


def refractive_index(wavelength_nm: np.ndarray) -> np.ndarray:
    """Return the real index of silicon, same shape: four-point Lagrange in a 5 nm table."""
    table = embedded("silicon_index.csv", "wavelength_nm", "index")
    nodes, values = table["wavelength_nm"], table["index"]
    place = (np.asarray(wavelength_nm, dtype=np.float64) - nodes[0]) / (nodes[1] - nodes[0])
    left = np.clip(np.floor(place).astype(int), 1, nodes.size - 3)
    t = place - left
    return np.asarray(
        -t * (t - 1) * (t - 2) / 6 * values[left - 1]
        + (t + 1) * (t - 1) * (t - 2) / 2 * values[left]
        - (t + 1) * t * (t - 2) / 2 * values[left + 1]
        + (t + 1) * t * (t - 1) / 6 * values[left + 2]
    )
