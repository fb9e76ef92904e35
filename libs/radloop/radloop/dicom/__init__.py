"""DICOM objects that more than one service writes, and associations. Needs the library's extra ``dicom``; no domain imports it."""
