"""What the flag of a denoised pixel says, as bits; 0: the pixel was seen and is as expected."""

OUTSIDE = 1  # beyond the wavelengths that the network knows: no denoised flux
MASKED = 2  # rejected by the file's mask; the denoised flux rests on other pixels
UNUSABLE = 4  # flux or variance is no number, or the variance is not positive; likewise
SUSPECT = 8  # five sigma from the denoised flux: a cosmic ray, a line of the sky, or real

MEANING = {
    OUTSIDE: "outside the network's wavelengths",
    MASKED: "rejected by the mask",
    UNUSABLE: "flux or variance not usable",
    SUSPECT: "5 sigma from the denoised flux",
}
