"""The door of the hospital: receives DICOM, de-identifies it and forms cases."""
