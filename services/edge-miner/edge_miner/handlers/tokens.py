"""Names under which events that came too early are parked."""


def project_token(project_id: str) -> str:
    """Return what waits for `project-configured`."""
    return f"project:{project_id}"


def case_token(case_id: str) -> str:
    """Return what waits for the `study-ingested` of a case."""
    return f"case:{case_id}"
