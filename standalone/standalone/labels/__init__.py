"""Labels that exist already, on the way in: found on this machine, matched to cases and segments, checked, reported, taken."""
