"""A batch that lies in several processes against the same batch in one."""

import pytest
import torch

from tests.losses.global_problems import (
    ALL,
    CUTS,
    PROBLEMS,
    RANKINGS,
    evaluate,
    evaluate_all,
    weights_of,
)
from tests.processes import call_in_processes

TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-6, torch.bfloat16: 1e-2}


@pytest.fixture(scope="module")
def in_processes(tmp_path_factory):
    """The results of :func:`evaluate_all` in each of three processes."""
    return call_in_processes(evaluate_all, 3, tmp_path_factory.mktemp("processes"))


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: "-".join(map(str, p)))
@pytest.mark.parametrize("name", ALL)
def test_the_average_over_processes_is_one_process_with_all(name, problem, in_processes):
    key = PROBLEMS.index(problem), name
    parts = [results[key] for results, *_ in in_processes[: problem.num_processes]]
    expected, *expected_grads = evaluate(ALL[name], *problem.batch())
    values, *grads = zip(*parts, strict=True)
    tolerance = TOLERANCES[problem.dtype]
    value_tolerance = min(tolerance, 1e-6)  # half precision is for logits, not for their sums
    mean = torch.stack(values).mean(dim=0)
    torch.testing.assert_close(mean, expected, rtol=value_tolerance, atol=value_tolerance)
    for of_processes, of_one in zip(grads, expected_grads, strict=True):
        scale = max(float(of_one.abs().max()) if of_one.numel() else 0, 1e-6)
        averaged = torch.cat(of_processes) / problem.num_processes
        torch.testing.assert_close(averaged, of_one, rtol=tolerance, atol=tolerance * scale)
    if name in RANKINGS:
        assert all(value.equal(values[0]) for value in values)


@pytest.mark.parametrize("name", ALL)
def test_the_same_once_more_gives_the_same_bits(name, in_processes):
    for results, again, *_ in in_processes:
        assert all(map(torch.equal, results[0, name], again[name]))


def test_the_problems_are_as_hard_as_they_say():
    sizes = {p: [len(p.part(r)[1]) for r in range(p.num_processes)] for p in PROBLEMS}
    positives = {p: [len(p.part(r)[2]) for r in range(p.num_processes)] for p in PROBLEMS}
    assert {cuts for cuts in CUTS} == {p.cuts for p in PROBLEMS}
    assert any(0 in s for s in sizes.values())
    assert any(0 in n and sum(n) > 0 for n in positives.values())
    assert any(sum(n) == 0 for n in positives.values())
    assert any(len(set(n)) == len(n) == 3 for n in positives.values())
    assert all(
        torch.cat([p.part(r)[0] for r in range(p.num_processes)]).equal(p.batch()[0])
        for p in PROBLEMS
    )


@pytest.mark.parametrize("name", RANKINGS)
def test_nan_in_one_process_is_the_loss_of_all(name, in_processes):
    for _, _, values, _ in in_processes:
        assert values[name, False].isnan().any()
        assert values[name, True].isnan().any()


def test_few_bytes_are_told(in_processes):
    parts = [PROBLEMS[0].part(rank) for rank in range(3)]
    own = [len(quality) for _, _, quality in parts]
    most, everything = max(own), sum(own)
    # The number of positives and their scores; sums of FP, and whether there is a NaN.
    ranking = 8 + 4 * most + 8 * (everything + 1)
    # The same for the positives with a weight, and the weights.
    weights = [weights_of(x, y)[(y >= 0) & (y < 3)] for x, y, _ in parts]
    own = [int((w > 0).sum()) for w in weights]
    weighted = 8 + (4 + 8) * max(own) + 8 * (sum(own) + 1)
    assert weighted < ranking + 8 * most
    for *_, told in in_processes:
        assert told["ap"] == ranking
        assert told["ap, weighted"] == weighted
        assert told["auc"] == ranking + 8  # the number of negatives
        assert told["alrp"] == told["rank_sort"] == ranking + 4 * most
        assert told["dr"] == told["dr, weighted"] == 4 * 8
        assert told["ghm_c"] == told["ghm_c, weighted"] == 30 * 8
        assert told["ghm_r"] == 10 * 8


@pytest.mark.parametrize("name", ["ap", "auc", "alrp", "rank_sort", "dr"])
def test_a_ranking_of_each_image_knows_no_other_process(name):
    logits, labels, quality = PROBLEMS[0].part(0)
    with pytest.raises(ValueError, match="group must be None"):
        RANKINGS[name](logits, labels, quality, image_idxs=0 * labels, group=object())
