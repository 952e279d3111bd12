"""Frozen layers on a CPU in each precision, and what is kept of them from run to run."""
