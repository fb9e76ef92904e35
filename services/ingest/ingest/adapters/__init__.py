"""How it is done: DICOM, HTTP, SQL and the event contracts, one file per outside thing."""
