"""Whether streams of random numbers are one another's, moved along by whatever lag."""

import numpy as np

_MARGIN = 1.2


def refuse_shared(streams: list[np.ndarray]) -> None:
    """Assert that no stream of mean 0 resembles another, or itself, at any lag but none.

    Of m correlations of N pairs each the largest is about sqrt(2 ln m / N).
    """
    length = streams[0].size
    compared = len(streams) * (len(streams) + 1) * length
    bound = _MARGIN * np.sqrt(2.0 * np.log(compared) / length)
    spectra = np.fft.rfft(np.stack(streams), 2 * length)
    power = np.sqrt([np.sum(stream.astype(float) ** 2) for stream in streams])
    for number in range(len(streams)):
        product = spectra[: number + 1] * spectra[number].conj()
        lags = np.abs(np.fft.irfft(product, 2 * length)) / (power[: number + 1, None])
        lags[number, 0] = 0.0  # with itself, not moved
        assert lags.max() / power[number] < bound
