"""The model core: backbone, bypass, detector, calibration and the model folder on disk."""
