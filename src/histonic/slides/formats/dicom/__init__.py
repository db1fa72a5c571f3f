"""DICOM whole-slide images."""
