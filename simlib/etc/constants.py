"""The numbers that several parts of the calculator share."""

PHOTONS_PER_ERG_NM = 5.03411747e8  # photons per erg = this x wavelength in nm
MICRORADIAN_ARCSEC = 0.206264806  # 1 um seen from 1 m
SECOND_RADIATION_CM_K = 1.438777  # h c / k, for energies in cm-1
LIGHT_SPEED_M_S = 2.99792458e8
BOLTZMANN_J_K = 1.380649e-23
ATOMIC_MASS_KG = 1.66053907e-27
EXTINCTION_DIVISOR = 1.086  # mag per optical depth, as rounded in both calculators
FLUX_UNIT = "1e-17 erg s-1 cm-2 AA-1"
FLUX_UNIT_PER_NM = 1e-16  # one FLUX_UNIT in erg s-1 cm-2 nm-1
AB_ZERO_POINT = 3.631e-20  # erg s-1 cm-2 Hz-1 at magnitude 0
LIGHT_SPEED_NM_S = 2.99792458e17
