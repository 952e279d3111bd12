"""Figures of merit of a detector, as pure functions of labels and scores.

A :class:`Measure` is called with the labels and scores of some images and gives a :class:`Figure`.

Conventions: label 1 is generated and positive; higher scores mean more likely generated; an image is called
``ai`` if its score is strictly above the threshold; equal scores are never told apart. Average precision and
ROC AUC are scikit-learn's. Where a score is a probability or a likelihood ratio, it is one at equal priors:
both classes weigh the same whatever their numbers. Accuracy and average precision depend on the numbers. What
is not defined has no value but a reason, never 0 or NaN.
"""
