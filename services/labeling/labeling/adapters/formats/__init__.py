"""Formats of labels, up and down: raw label map, NIfTI, DICOM SEG. Each module reads bytes into an array of the case, and back."""
