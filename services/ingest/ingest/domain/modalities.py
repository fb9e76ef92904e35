"""The modalities there are: what a sender writes instead is free text, and free text is not announced."""

TERMS = frozenset(
    (
        "AR AS ASMT AU BDUS BI BMD CD CF CFM CP CR CS CT CTPROTOCOL DD DF DG DM DMS DOC DS DX EC ECG EEG EMG EOG EPS ES "
        "FA FID FS GM HC HD IO IOL IVOCT IVUS KER KO LEN LP LS M3D MA MG MR MS NM OAM OCT OP OPM OPR OPT OPTBSV OPTENF "
        "OPV OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTPLAN RTRECORD RTSTRUCT RWV SEG SM SMR SR SRF "
        "ST STAIN TEXTUREMAP TG US VA VF XA XC"
    ).split()
)
"""Defined terms of Modality (0008,0060): PS3.3 section C.7.3.1.1.1, the retired ones too, which stand in old archives."""

OTHER = "OT"
"""The standard's own term for what has none."""


def term_of(written: str) -> str:
    """Return the defined term somebody wrote, `OTHER` for anything else, empty where nothing was written."""
    term = written.strip().upper()
    return term if term in TERMS or not term else OTHER
