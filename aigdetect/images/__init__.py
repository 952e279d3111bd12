"""Images: finding files, decoding bytes safely, views for the model, perturbations."""
