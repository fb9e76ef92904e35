"""What every radloop service stands on: mechanism only, no business rule. Start at `service.py`; `README.md` is the map."""
