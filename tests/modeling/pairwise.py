"""Covering sets: few combinations of options in which every pair of options meets."""

import itertools
import random


def covering_set(factors, clashes, seed=0, tries=40):
    """Combinations, dicts from factor to option, with every pair that a valid combination has.

    Args:
        factors: dict from the name of a factor to its options.
        clashes: function that counts the rules that a combination breaks; a valid one breaks none.
        seed: seed of the random search; the same seed gives the same set.
        tries: number of random combinations for each added one, of which the best is taken.
    """
    generator = random.Random(seed)
    uncovered = all_pairs(factors)
    chosen = []
    for pair in sorted(uncovered, key=sorted):
        if pair not in uncovered:
            continue
        drawn = [
            {name: generator.choice(options) for name, options in factors.items()} | dict(pair)
            for _ in range(tries)
        ]
        repaired = [_repair(candidate, pair, factors, clashes, generator) for candidate in drawn]
        valid = [candidate for candidate in repaired if not clashes(candidate)]
        if valid:
            best = max(valid, key=lambda c: len(uncovered & pairs_of(c)))
            chosen.append(best)
            uncovered -= pairs_of(best)
    return chosen


def _repair(candidate, pair, factors, clashes, generator, rounds=3):
    """Change factors other than those of a pair, one by one, to options that clash least."""
    free = [name for name in factors if name not in dict(pair)]
    for _ in range(rounds):
        for name in generator.sample(free, len(free)):
            if not clashes(candidate):
                return candidate
            options = generator.sample(factors[name], len(factors[name]))
            candidate = min(({**candidate, name: option} for option in options), key=clashes)
    return candidate


def all_pairs(factors):
    return {
        frozenset({(a, x), (b, y)})
        for a, b in itertools.combinations(factors, 2)
        for x, y in itertools.product(factors[a], factors[b])
    }


def pairs_of(combination):
    return {frozenset(pair) for pair in itertools.combinations(combination.items(), 2)}


def completions(pair, factors):
    """Every combination with a pair."""
    options = {**factors, **{name: [option] for name, option in pair}}
    return (
        dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())
    )
