"""The likelihoods that stand for all of them in tests of what lies above `likelihoods/`.

One with a computed scale, one with a trained scale, one whose scale is a network output, and one
that is a mass of discrete data with many parameters a pixel. Contract tests
cover every likelihood; tests above `likelihoods/` use these, or fewer.
"""

REPRESENTATIVES = ("gaussian_optimal", "gaussian_shared", "gaussian_per_pixel", "logistic_mixture")
