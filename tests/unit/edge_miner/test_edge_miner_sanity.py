"""What is wrong at first sight."""

import numpy as np
import pytest

from edge_miner.domain.pool import Pool, PoolMember
from edge_miner.domain.sanity import examine, robust_z


def _pool(volumes: list[float], parts: list[float] | None = None, failed: tuple[int, ...] = ()) -> Pool:
    parts = parts or [1.0] * len(volumes)
    return Pool.of(
        [
            PoolMember(f"{n:03d}", "s", f"p{n}", failed=True)
            if n in failed
            else PoolMember(
                f"{n:03d}",
                "s",
                f"p{n}",
                scores={"components-segment-1": parts[n]},
                volumes={"segment-1-ml": volumes[n]},
            )
            for n in range(len(volumes))
        ]
    )


def test_robust_z_by_hand() -> None:
    # Median 5; absolute deviations 4 3 2 1 0 1 2 3 95, their median 2; sd = 1.4826 * 2.
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 100.0])
    z = robust_z(values, min_sd=0.01)
    assert z[4] == 0.0
    assert z[8] == pytest.approx(95 / 2.9652)


def test_robust_z_needs_some_cases_and_some_spread() -> None:
    assert not robust_z(np.array([1.0] * 6 + [100.0]), 0.1).any()
    equal = robust_z(np.array([2.0] * 10 + [2.1]), min_sd=0.1)
    assert equal[-1] == pytest.approx(1.0)


def test_robust_z_leaves_the_unknown_out() -> None:
    z = robust_z(np.array([np.nan, 1, 2, 3, 4, 5, 6, 7, 8.0]), 0.1)
    assert z[0] == 0.0 and np.isfinite(z).all()


def test_volume_outlier_on_the_log_scale() -> None:
    volumes = [3.0, 3.1, 2.9, 3.3, 2.7, 3.2, 2.8, 3.0, 3.05, 0.3, 30.0]
    sanity = examine(_pool(volumes), always_present=[1])
    assert np.flatnonzero(sanity.volume_outlier).tolist() == [9, 10]
    assert sanity.volume_z[9] == pytest.approx(sanity.volume_z[10], rel=1e-9)  # a tenth is as far as tenfold


def test_empty_only_where_something_must_be() -> None:
    volumes = [3.0] * 9 + [0.0]
    always, sometimes = examine(_pool(volumes), [1]), examine(_pool(volumes), [])
    assert np.flatnonzero(always.empty).tolist() == [9]
    assert not sometimes.empty.any()
    assert sometimes.nothing_found[9] and not sometimes.nothing_found[:9].any()
    assert not always.volume_outlier[9]  # absent is no small volume


def test_too_many_parts_compared_with_the_pool() -> None:
    # In a pool of single parts two are tolerated, three are not.
    sanity = examine(_pool([3.0] * 12, [1.0] * 10 + [2.0, 3.0]), [1])
    assert np.flatnonzero(sanity.components).tolist() == [11]
    # A model that scatters everywhere makes scattering no reason.
    scattered = examine(_pool([3.0] * 12, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12.0]), [1])
    assert not scattered.components.any()
    # Fewer parts than usual is no reason either.
    assert not examine(_pool([3.0] * 12, [9.0] * 11 + [1.0]), [1]).components.any()


def test_failed_cases_stay_out_of_all_statistics() -> None:
    sanity = examine(_pool([3.0] * 9 + [0.0], failed=(9,)), [1])
    assert np.flatnonzero(sanity.failed).tolist() == [9]
    assert not (sanity.empty | sanity.volume_outlier | sanity.components | sanity.nothing_found).any()
