import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import napari_restore
from napari_restore.core.errors import RestoreError
from napari_restore.training.ranks import ALONE, Ranks, find_ranks

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none",
    "RANK": "5",
    "WORLD_SIZE": "6",
    "LOCAL_RANK": "2",
    "LOCAL_WORLD_SIZE": "3",
    "MASTER_ADDR": "localhost",
}


@given(items=st.lists(st.integers(), max_size=40, unique=True), count=st.integers(1, 9))
def test_shares_hold_every_item_once_or_all_where_there_are_too_few(items, count):
    shares = [list(Ranks(index, count).share(items)) for index in range(count)]
    if len(items) < count:
        assert shares == [items] * count
    else:
        assert all(shares)
        assert sorted(item for share in shares for item in share) == sorted(items)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_the_environment_of_torchrun_tells_the_ranks():
    assert find_ranks(TORCHRUN) == Ranks(5, 6, 2, 3)
    assert not find_ranks(TORCHRUN).first
    assert find_ranks({**TORCHRUN, "RANK": "0"}).first


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WORLD_SIZE": "4", "RANK": "1"},  # machines, as other launchers count
        {**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"},
    ],
)
def test_a_process_that_torchrun_did_not_start_with_others_is_alone(environment):
    assert find_ranks(environment) == ALONE


def test_machines_with_different_numbers_of_processes_are_refused():
    with pytest.raises(RestoreError, match=r"4 of 6 processes.*--nproc-per-node"):
        find_ranks({**TORCHRUN, "LOCAL_WORLD_SIZE": "4"})


def test_random_numbers_differ_by_rank_seed_and_step_and_rank_0_has_those_of_a_process_alone():
    assert Ranks(0, 2).seed(7) == ALONE.seed(7) == 7
    seeds = {Ranks(index, 3).seed(seed, step=step) for index in (1, 2) for seed in (0, 1) for step in (0, 1, 2)}
    assert len(seeds) == 12
    assert not seeds & {0, 1}
    assert Ranks(1, 3).seed(0, step=2) == Ranks(1, 3).seed(0, step=2)
    torch.Generator().manual_seed(max(seeds))


def test_alone_every_verb_gives_back_what_it_was_given():
    assert ALONE.agree(fraction=0.25, stop=True) == (0.25, True)
    value = object()
    assert ALONE.broadcast(value) is value
    assert ALONE.launch(None) is ALONE
    ALONE.align(iter([torch.zeros(1)]))
    assert not torch.distributed.is_initialized()


def test_one_device_for_all_is_refused_and_a_cpu_is_shared():
    assert Ranks(1, 2, 1, 2).device("cpu") == torch.device("cpu")
    with pytest.raises(RestoreError, match="not there"):
        Ranks(99, 100, 99, 100).device("cuda:99")


@pytest.mark.parametrize("name", ["cuda:0", "mps"])
def test_a_device_that_ranks_cannot_have_each_is_refused(monkeypatch, name):
    monkeypatch.setattr("napari_restore.training.ranks.find_device", torch.device)
    with pytest.raises(RestoreError, match=f"{name}.*2 processes.*use cuda"):
        Ranks(1, 2, 1, 2).device(name)


def test_each_rank_has_the_cuda_device_of_its_place_on_the_machine(monkeypatch):
    monkeypatch.setattr("napari_restore.training.ranks.find_device", torch.device)
    assert Ranks(5, 6, 2, 3).device("cuda") == torch.device("cuda:2")
    assert ALONE.device("cuda:1") == torch.device("cuda:1")


def test_a_broken_connection_is_told_as_a_lost_process_and_other_errors_as_they_are():
    with pytest.raises(RestoreError, match="process 1 of 2: another process ended"), Ranks(1, 2).together():
        raise RuntimeError("[third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer")
    with pytest.raises(RestoreError, match="another process ended"), Ranks(1, 2).together():
        raise torch.distributed.DistBackendError("NCCL")
    with pytest.raises(RuntimeError, match="out of memory"), Ranks(1, 2).together():
        raise RuntimeError("out of memory")
    with pytest.raises(RuntimeError, match="gloo"), ALONE.together():
        raise RuntimeError("gloo")


def test_a_verb_that_restores_too_is_refused_under_torchrun(monkeypatch, noisy):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RestoreError, match="use train"):
        napari_restore.denoise(noisy(), steps=1)
