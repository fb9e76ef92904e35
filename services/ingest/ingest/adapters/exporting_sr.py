"""Writes measurements as a structured report: TID 1500 Measurement Report, one TID 1411 volumetric ROI for each segment, by highdicom."""

from collections.abc import Mapping, Sequence

import highdicom as hd
from highdicom.sr import (
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    ReferencedSegment,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

from ingest.domain.measurements import Measurement as Measured
from radloop.dicom.segmentations import MANUFACTURER, Described, Made, code, settle_creation, uid_of

_VOLUME = Code("118565006", "SCT", "Volume")
_DIAMETER = Code("81827009", "SCT", "Diameter")
_LONGEST = Code("56851009", "SCT", "Maximum")
_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
_DIGITS = 6
"""Of a value: NumericValue is a decimal string of at most 16 characters (PS3.5 section 6.2)."""


def report(
    measured: Mapping[int, Measured],
    seg: Dataset,
    sources: Sequence[Dataset],
    segments: Sequence[Described],
    made: Made,
) -> ComprehensiveSR:
    """Return the measurements of a SEG's segments as Comprehensive SR (PS3.16 TID 1500, TID 1411).

    Parameters
    ----------
    measured : Mapping of int to Measurement
        By value of the segment; one without voxels is reported with a volume of 0 and no diameter.
    seg : pydicom.dataset.Dataset
        The SEG it refers to: its UIDs, class and Modality; pixels are not looked at.
    sources : sequence of pydicom.dataset.Dataset
        The instances the SEG was made on.
    segments : sequence of Described
        As they are numbered in the SEG, from 1.
    made : Made
        ``made.at`` must be given.
    """
    assert made.at is not None  # an export has a date of its own
    device = DeviceObserverIdentifyingAttributes(
        uid=uid_of("device", MANUFACTURER), name=MANUFACTURER, manufacturer_name=MANUFACTURER
    )
    groups = [
        VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(
                uid=uid_of("tracking", made.sop_instance_uid, str(segment.value)), identifier=segment.name
            ),
            referenced_segment=ReferencedSegment(
                sop_class_uid=seg.SOPClassUID,
                sop_instance_uid=seg.SOPInstanceUID,
                segment_number=number,
                source_series=SourceSeriesForSegmentation(str(sources[0].SeriesInstanceUID)),
            ),
            finding_type=code(segment.type),
            finding_category=code(segment.category),
            measurements=_measurements(measured.get(segment.value)),
        )
        for number, segment in enumerate(segments, start=1)
    ]
    content = MeasurementReport(
        observation_context=ObservationContext(
            observer_device_context=ObserverContext(
                observer_type=codes.DCM.Device, observer_identifying_attributes=device
            )
        ),
        procedure_reported=_PROCEDURE,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    document = ComprehensiveSR(
        evidence=[seg, *{str(ds.SOPInstanceUID): ds for ds in sources}.values()],
        content=content[0],
        series_instance_uid=made.series_instance_uid,
        series_number=made.series_number,
        sop_instance_uid=made.sop_instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=made.model_name,
        series_description=made.series_description,
        software_versions="1",
        is_complete=True,
        is_final=False,
        is_verified=False,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        specific_character_set="ISO_IR 192",
        content_date=made.at.date(),
        content_time=made.at.time(),
    )
    settle_creation(document, made.at)
    return document


def _measurements(found: Measured | None) -> list[hd.sr.Measurement]:
    volume = Measurement(
        name=_VOLUME, value=round(found.volume_mm3, _DIGITS) if found else 0.0, unit=codes.UCUM.CubicMillimeter
    )
    if found is None:
        return [volume]
    longest = Measurement(
        name=_DIAMETER,
        value=round(found.longest_diameter_mm, _DIGITS),
        unit=codes.UCUM.Millimeter,
        derivation=_LONGEST,
    )
    return [volume, longest]
