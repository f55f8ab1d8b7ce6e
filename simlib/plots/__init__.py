"""Pictures of what can be looked at: simulated stars, datasets, terms, denoised spectra.

What is drawn is said once, as a `Picture`; one module draws it with matplotlib, one as a page.
"""
