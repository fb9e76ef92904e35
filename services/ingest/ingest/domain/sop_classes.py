"""What kinds of image there are, and which of them can be slices of a volume; and what is no image (PS3.4 Annex B.5, PS3.6 Annex A)."""

from ingest.domain.site_profile import Document

_IMAGES = "1.2.840.10008.5.1.4.1.1."
_SLICES = ""
_PROJECTION = "a projection"
_ULTRASOUND = "ultrasound, whose frames have no place in the patient"
_CAPTURE = "a secondary capture"
_PHOTOGRAPH = "a photograph"

_KINDS = {
    _IMAGES + "2": ("CT Image Storage", _SLICES),
    _IMAGES + "2.1": ("Enhanced CT Image Storage", _SLICES),
    _IMAGES + "2.2": ("Legacy Converted Enhanced CT Image Storage", _SLICES),
    _IMAGES + "4": ("MR Image Storage", _SLICES),
    _IMAGES + "4.1": ("Enhanced MR Image Storage", _SLICES),
    _IMAGES + "4.4": ("Legacy Converted Enhanced MR Image Storage", _SLICES),
    _IMAGES + "128": ("Positron Emission Tomography Image Storage", _SLICES),
    _IMAGES + "128.1": ("Legacy Converted Enhanced PET Image Storage", _SLICES),
    _IMAGES + "130": ("Enhanced PET Image Storage", _SLICES),
    _IMAGES + "20": ("Nuclear Medicine Image Storage", _SLICES),
    _IMAGES + "13.1.1": ("X-Ray 3D Angiographic Image Storage", _SLICES),
    _IMAGES + "13.1.2": ("X-Ray 3D Craniofacial Image Storage", _SLICES),
    _IMAGES + "13.1.3": ("Breast Tomosynthesis Image Storage", _SLICES),
    _IMAGES + "6.2": ("Enhanced US Volume Storage", _SLICES),
    _IMAGES + "30": ("Parametric Map Storage", _SLICES),
    _IMAGES + "1": ("Computed Radiography Image Storage", _PROJECTION),
    _IMAGES + "1.1": ("Digital X-Ray Image Storage - For Presentation", _PROJECTION),
    _IMAGES + "1.1.1": ("Digital X-Ray Image Storage - For Processing", _PROJECTION),
    _IMAGES + "1.2": ("Digital Mammography X-Ray Image Storage - For Presentation", _PROJECTION),
    _IMAGES + "1.2.1": ("Digital Mammography X-Ray Image Storage - For Processing", _PROJECTION),
    _IMAGES + "1.3": ("Digital Intra-Oral X-Ray Image Storage - For Presentation", _PROJECTION),
    _IMAGES + "1.3.1": ("Digital Intra-Oral X-Ray Image Storage - For Processing", _PROJECTION),
    _IMAGES + "12.1": ("X-Ray Angiographic Image Storage", _PROJECTION),
    _IMAGES + "12.1.1": ("Enhanced XA Image Storage", _PROJECTION),
    _IMAGES + "12.2": ("X-Ray Radiofluoroscopic Image Storage", _PROJECTION),
    _IMAGES + "12.2.1": ("Enhanced XRF Image Storage", _PROJECTION),
    _IMAGES + "13.1.4": ("Breast Projection X-Ray Image Storage - For Presentation", _PROJECTION),
    _IMAGES + "13.1.5": ("Breast Projection X-Ray Image Storage - For Processing", _PROJECTION),
    _IMAGES + "481.1": ("RT Image Storage", _PROJECTION),
    _IMAGES + "6.1": ("Ultrasound Image Storage", _ULTRASOUND),
    _IMAGES + "3.1": ("Ultrasound Multi-frame Image Storage", _ULTRASOUND),
    _IMAGES + "7": ("Secondary Capture Image Storage", _CAPTURE),
    _IMAGES + "7.1": ("Multi-frame Single Bit Secondary Capture Image Storage", _CAPTURE),
    _IMAGES + "7.2": ("Multi-frame Grayscale Byte Secondary Capture Image Storage", _CAPTURE),
    _IMAGES + "7.3": ("Multi-frame Grayscale Word Secondary Capture Image Storage", _CAPTURE),
    _IMAGES + "7.4": ("Multi-frame True Color Secondary Capture Image Storage", _CAPTURE),
    _IMAGES + "4.3": ("Enhanced MR Color Image Storage", "colour"),
    _IMAGES + "77.1.1": ("VL Endoscopic Image Storage", _PHOTOGRAPH),
    _IMAGES + "77.1.2": ("VL Microscopic Image Storage", _PHOTOGRAPH),
    _IMAGES + "77.1.4": ("VL Photographic Image Storage", _PHOTOGRAPH),
    _IMAGES + "77.1.5.1": ("Ophthalmic Photography 8 Bit Image Storage", _PHOTOGRAPH),
    _IMAGES + "77.1.5.2": ("Ophthalmic Photography 16 Bit Image Storage", _PHOTOGRAPH),
    _IMAGES + "77.1.6": ("VL Whole Slide Microscopy Image Storage", _PHOTOGRAPH),
    _IMAGES + "481.2": ("RT Dose Storage", "a dose, no image"),
    _IMAGES + "66.4": ("Segmentation Storage", "a segmentation: a label, no image"),
}
"""Name of a SOP class, and why its images are no slices; empty where they are."""


def name_of(sop_class_uid: str) -> str:
    """Return the name of a SOP class; of one that is not listed nothing but that: the UID may be a vendor's own."""
    return _KINDS.get(sop_class_uid, ("a SOP class that is not listed", _SLICES))[0]


def no_slice_because(sop_class_uid: str) -> str:
    """Return why images of a SOP class are no slices of a volume; empty where they are, or nobody knows."""
    return _KINDS.get(sop_class_uid, ("", _SLICES))[1]


_NO_IMAGES: tuple[tuple[str, str, Document | None], ...] = (
    (_IMAGES + "88.59", "a key object selection", Document.KEY_OBJECTS),
    (_IMAGES + "88", "a structured report", Document.STRUCTURED_REPORTS),
    (_IMAGES + "11", "a presentation state", Document.PRESENTATION_STATES),
    (_IMAGES + "104", "an encapsulated document", None),
    (_IMAGES + "9", "a waveform", None),
    (_IMAGES + "66.1", "a registration", None),
    (_IMAGES + "66.3", "a deformable registration", None),
    (_IMAGES + "67", "a real world value mapping", None),
    (_IMAGES + "481.3", "a set of RT structures", None),
    (_IMAGES + "481.5", "an RT plan", None),
    (_IMAGES + "481.8", "an RT ion plan", None),
    (_IMAGES + "481.4", "an RT treatment record", None),
    (_IMAGES + "481.6", "an RT treatment record", None),
    (_IMAGES + "481.7", "an RT treatment record", None),
    (_IMAGES + "481.9", "an RT treatment record", None),
    ("1.2.840.10008.5.1.4.34", "a worklist's or an RT object", None),
)
"""SOP classes, with all below them, that hold words, curves or references but no image; and what a site's profile calls them."""


def no_image_because(sop_class_uid: str) -> tuple[str, Document | None]:
    """Return what a SOP class is if it is no image, and what a site's profile may let it in as; empty and None for an image."""
    for root, words, document in _NO_IMAGES:
        if sop_class_uid == root or sop_class_uid.startswith(root + "."):
            return words, document
    return "", None
