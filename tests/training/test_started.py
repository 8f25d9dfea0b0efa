"""What the environment says of how a process was started; what it gets wrong is a line, in every way of starting."""

import pytest

from dlrun import run
from dlrun.cli import main
from dlrun.errors import UsageError
from dlrun.training.started import local_rank, ranks_started

RUN = ["data=synthetic", "model=fc_64", "epochs=1", "threads=1", "device=cpu", "tensorboard=off"]
MEETING = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
NAMES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "ENVIRONMENT")
STARTERS = ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_PROCID", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")


@pytest.fixture
def set_to(monkeypatch, tmp_path):
    """Sets the variables given, and none else of their kind."""
    monkeypatch.chdir(tmp_path)

    def set_them(values):
        for name in (*NAMES, *STARTERS):
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_them


MISTAKES = [
    ({"WORLD_SIZE": ""}, "WORLD_SIZE='' in the environment: expected a whole number >= 1"),
    ({"WORLD_SIZE": "two"}, "WORLD_SIZE='two' in the environment"),
    ({"WORLD_SIZE": "-1"}, "WORLD_SIZE='-1' in the environment"),
    ({"WORLD_SIZE": "1.5"}, "torchrun sets it, or unset WORLD_SIZE"),
    ({"WORLD_SIZE": "2", "RANK": "0"}, "WORLD_SIZE=2 without MASTER_ADDR, MASTER_PORT: start dlrun with torchrun"),
    ({"WORLD_SIZE": "2", **MEETING}, "WORLD_SIZE=2 without RANK"),
    ({"WORLD_SIZE": "2", "RANK": "2", **MEETING}, "RANK='2' in the environment: expected a whole number >= 0 and <= 1"),
    ({"WORLD_SIZE": "2", "RANK": "x", **MEETING}, "RANK='x'"),
    ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "p"}, "MASTER_PORT='p'"),
    ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "", **MEETING}, "LOCAL_RANK=''"),
    ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_WORLD_SIZE": "3", **MEETING}, "LOCAL_WORLD_SIZE='3'"),
    ({"RANK": "1"}, "RANK=1 without WORLD_SIZE: start dlrun with torchrun, which sets them all, or unset RANK"),
    ({"RANK": "0", "LOCAL_RANK": "0"}, "or unset RANK LOCAL_RANK"),
    ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}, "srun has started 2 copies of this command"),
    ({"SLURM_NTASKS": "2", "SLURM_PROCID": "1"}, "srun has started 2 copies of this command"),
    ({"SLURM_STEP_NUM_TASKS": "2", "WORLD_SIZE": "1"}, "srun has started 2 copies"),
    ({"OMPI_COMM_WORLD_SIZE": "4"}, "mpirun has started 4 copies"),
    ({"PMI_SIZE": "4"}, "mpirun has started 4 copies"),
]


@pytest.mark.parametrize(("values", "said"), MISTAKES)
def test_a_wrong_environment_is_a_line(set_to, values, said):
    """0.1.0 ended in a traceback of twenty lines, or trained once in every copy."""
    set_to(values)
    with pytest.raises(UsageError) as error:
        ranks_started()
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) <= 2


@pytest.mark.parametrize("values", [MISTAKES[0][0], MISTAKES[4][0], MISTAKES[13][0]])
def test_every_way_to_train_says_so_before_anything_is_written(set_to, tmp_path, capsys, values):
    set_to(values)
    with pytest.raises(UsageError):
        run(*RUN)
    for words in (RUN, ["-m", *RUN, "seed=0,1"], ["-m", *RUN, "seed=0,1", "hydra/launcher=slurm"]):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert said.startswith("dlrun: ")
        assert len(said.splitlines()) <= 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"},
        {"MASTER_ADDR": "kept", "MASTER_PORT": ""},
        {"SLURM_NTASKS": "2"},  # salloc -n 2
        {"SLURM_NTASKS": "2", "SLURM_PROCID": "0", "ENVIRONMENT": "BATCH"},  # a script of sbatch -n 2
        {"SLURM_NTASKS": "2", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "1"},
    ],
)
def test_one_process_is_one_run(set_to, values):
    set_to(values)
    assert ranks_started() == 1
    assert local_rank() == (0, 1)


def test_ranks_among_tasks_of_slurm_are_one_run(set_to):
    set_to({"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", **MEETING})
    assert ranks_started() == 4
    assert local_rank() == (1, 2)


def test_a_page_is_not_printed_by_every_rank(set_to, tmp_path, capsys):
    set_to({"WORLD_SIZE": "2", "RANK": "0", **MEETING})
    for verb in (["evaluate"], ["export"]):
        assert main([*verb, str(tmp_path)]) == 2
        assert "under torchrun" in capsys.readouterr().err
