"""What is true about studies, de-identification and cases; no file, socket, database or DICOM library here."""
