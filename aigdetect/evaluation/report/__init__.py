"""An evaluation as a folder: pages to read, tables and figures for programs."""
