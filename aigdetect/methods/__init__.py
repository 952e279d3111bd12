"""The detectors that the program trains, by name, behind one interface: views in, logits out."""
