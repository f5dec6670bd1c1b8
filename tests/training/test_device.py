"""Where a loop runs."""

import pytest
import torch

from stage1.errors import BadConfig
from stage1.training.config import LoopConfig
from stage1.training.device import Place, prepare_device


def test_the_seed_decides_what_is_drawn_next() -> None:
    drawn = []
    for seed in (5, 5, 6):
        assert prepare_device(LoopConfig(seed=seed, threads=1, device="cpu")) == Place(torch.device("cpu"))
        drawn.append(torch.rand(3).tolist())
    assert drawn[0] == drawn[1] != drawn[2]
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadConfig, match="use 'auto' or 'cpu'"):
        prepare_device(LoopConfig(threads=1, device="cuda"))
    assert prepare_device(LoopConfig(threads=1)) == Place(torch.device("cpu"))
