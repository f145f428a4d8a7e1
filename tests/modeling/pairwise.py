"""Covering sets: few combinations of options in which every pair of options meets."""

import itertools
import random


def covering_set(factors, is_valid, seed=0, tries=40):
    """Combinations, dicts from factor to option, with every pair that a valid combination has.

    Args:
        factors: dict from the name of a factor to its options.
        is_valid: whether a combination has a meaning.
        seed: of the random search; the same seed gives the same set.
        tries: random combinations per added one, of which the best is taken.
    """
    generator = random.Random(seed)
    uncovered = {
        frozenset({(a, x), (b, y)})
        for a, b in itertools.combinations(factors, 2)
        for x, y in itertools.product(factors[a], factors[b])
    }
    chosen = []
    for pair in sorted(uncovered, key=sorted):
        if pair not in uncovered:
            continue
        candidates = [
            {name: generator.choice(options) for name, options in factors.items()} | dict(pair)
            for _ in range(tries * 10)
        ]
        valid = [candidate for candidate in candidates if is_valid(candidate)][:tries]
        if valid:
            best = max(valid, key=lambda c: len(uncovered & pairs_of(c)))
            chosen.append(best)
            uncovered -= pairs_of(best)
    return chosen


def pairs_of(combination):
    return {frozenset(pair) for pair in itertools.combinations(combination.items(), 2)}
