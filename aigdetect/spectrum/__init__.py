"""Spectra of high-pass residuals: the periodic traces in an image, with numbers behind every mark."""
