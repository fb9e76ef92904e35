"""Into how many parts the segments of a predicted mask fall, of both kinds of mask."""

from dataclasses import replace
from typing import Any

import numpy as np

from edge_miner.domain.parts import count_parts
from radloop.imaging import Volume, segment_bit, write_nifti

Site = Any  # the fixture's class lives in conftest.py


def test_parts_of_a_label_map() -> None:
    mask = np.zeros((6, 6, 6), dtype=np.uint8)
    mask[0, 0, 0] = mask[1, 1, 1] = 2  # touch at a corner: one part
    mask[5, 5, 5] = 2
    mask[3, :, 3] = 4
    assert count_parts(mask) == {2: 2, 4: 1}
    assert count_parts(np.zeros((2, 2, 2), dtype=np.uint8)) == {}


def two_lesions(lesion: int) -> np.ndarray:
    """Segment bits: an organ (1), and two voxels inside of it that belong to a lesion, too."""
    mask = np.zeros((7, 7, 7), dtype=np.uint32)
    mask[1:6, 1:6, 1:6] = segment_bit(1)
    mask[2, 2, 2] |= segment_bit(lesion)
    mask[4, 4, 4] |= segment_bit(lesion)
    return mask


def test_parts_of_segments_that_overlap() -> None:
    assert count_parts(two_lesions(32)) == {1: 1, 32: 2}
    assert count_parts(np.zeros((2, 2, 2), dtype=np.uint32)) == {}


def test_a_round_counts_the_parts_of_segments_that_overlap(site: Site) -> None:
    site.hear(site.configured(), *(site.ingested(number) for number in range(10)), site.deployed("model-1", 1))
    site.work()
    mask = site.objects.put("inference/study/bits.nii", write_nifti(Volume(two_lesions(2), np.eye(4))))
    site.hear(*(replace(site.made(number, "model-1", parts=None), mask=mask) for number in range(10)))
    site.work()
    assert site.flagged
    for flag in site.flagged:
        scores = {score.name: score.value for score in flag.scores}
        assert (scores["components-segment-1"], scores["components-segment-2"]) == (1.0, 2.0)
