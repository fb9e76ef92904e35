"""Which images are likely to carry text that names somebody in their pixels (PS3.15 section E.3.1: clean pixel data).

Nobody looks at pixels here: what is suspicious waits until a person has.
"""

_SUSPICIOUS_MODALITIES = frozenset({"US", "IVUS", "ES", "XC", "GM", "OP", "SC", "DOC"})
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_ULTRASOUND = ("1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.1.1.3")
_SCREEN_IMAGE_TYPES = frozenset(
    {"SCREEN SAVE", "SCREEN CAPTURE", "SCREENSHOT", "SECONDARY CAPTURE", "CT_SOM5 PROT", "DOSE_INFO"}
)


def suspicion(
    *,
    burned_in_annotation: str,
    modality: str,
    sop_class_uid: str,
    image_type: tuple[str, ...],
    overlay_in_pixels: bool,
) -> str | None:
    """Return why an instance should be looked at before anything is done with it, or None.

    Parameters
    ----------
    burned_in_annotation : str
        (0028,0301), empty when absent.
    modality, sop_class_uid, image_type
        As in the data set.
    overlay_in_pixels : bool
        An overlay sits in unused bits of the pixel data (60xx,0102 is not 0).
    """
    if burned_in_annotation == "YES":
        return "Burned In Annotation is YES"
    if _is_a(sop_class_uid, _SECONDARY_CAPTURE):
        return "a secondary capture"
    if modality in _SUSPICIOUS_MODALITIES or any(_is_a(sop_class_uid, root) for root in _ULTRASOUND):
        return "a kind of image that usually carries text: ultrasound, endoscopy, photograph, document"
    if screens := _SCREEN_IMAGE_TYPES & {value.upper() for value in image_type}:
        return f"Image Type says {', '.join(sorted(screens))}"
    return "an overlay inside the pixel data" if overlay_in_pixels else None


def _is_a(uid: str, root: str) -> bool:
    return uid == root or uid.startswith(root + ".")
