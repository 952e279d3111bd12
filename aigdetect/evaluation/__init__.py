"""Evaluation: figures of merit, benchmarks, robustness, audits of the data, reports."""
