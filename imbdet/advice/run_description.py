"""What the last checkpoint and the ledger of a run say of its training data, in words."""

from collections.abc import Iterator, Sequence

import numpy as np

from imbdet.advice.background_shares import BackgroundShares
from imbdet.advice.checkpoint_look import CheckpointLook
from imbdet.advice.ledger_doubts import CONFIDENT, LedgerDoubts
from imbdet.advice.survey import Survey
from imbdet.advice.tail_lag import TailLag
from imbdet.wording import counted, listed, percent

# Number of classes that are named, the worst ones.
_FEW = 3


def describe_run(survey: Survey) -> Iterator[tuple[str, str]]:
    """Titles and texts of lines; none without a run."""
    if survey.checkpoint:
        yield "Samples", _describe_look(survey.checkpoint)
        if by_size := survey.checkpoint.positives_by_size():
            yield "Matches", _describe_positives(by_size)
    if survey.ledger:
        yield "Doubts", _describe_ledger(survey.ledger, survey.tail.classes)
    if survey.tail_lag:
        yield "Tail", _describe_tail(survey.tail_lag)


def _describe_look(look: CheckpointLook) -> str:
    seen = (
        f"of {look.place} in {look.num_images:,} of {counted(look.of_images, 'training image')}, "
        f"drawn with a fixed seed, by the checkpoint '{look.weights}'"
    )
    return f"{seen}: {_describe_background(look.background)}" if look.background else seen


def _describe_background(background: BackgroundShares) -> str:
    loss = "" if background.loss is None else f"{percent(background.loss)} of the loss and "
    return (
        f"{percent(background.candidates)} of the candidates are background, and "
        f"{percent(background.chosen)} of those that the sampler chooses; they have {loss}"
        f"{percent(background.gradient)} of the gradient of the classification"
    )


def _describe_positives(by_size: dict[str, np.ndarray]) -> str:
    parts = [
        f"{np.median(numbers):.0f} for {counted(len(numbers), f'{name} one')}, of which "
        f"{percent(float((numbers == 0).mean()))} have none"
        for name, numbers in by_size.items()
    ]
    return f"positives of the objects in these images (median): {'; '.join(parts)}"


def _describe_ledger(ledger: LedgerDoubts, classes: Sequence[str]) -> str:
    objects = [f"annotation {note} in image {image}" for note, image in ledger.other_class]
    shares = [
        f"{classes[label]} ({ledger.not_learnt[label]:,} of {ledger.judged[label]:,})"
        for label in ledger.worst_classes()
    ]
    missed = f"; not learnt, most of all: {', '.join(shares[:_FEW])}" if shares else ""
    return (
        f"by {ledger.source}: of {counted(ledger.objects, 'object')} that were judged "
        f"{len(objects):,} were said to be of another class far more than others of theirs"
        f"{_first(objects)}{missed}; of {counted(ledger.images, 'image')} {len(ledger.forgotten):,}"
        f" have background with a mean score of {CONFIDENT} or more, where objects may be "
        f"forgotten{_first([f'image {image}' for image in ledger.forgotten])}"
    )


def _describe_tail(lag: TailLag) -> str:
    rare, others = lag.rare, lag.others
    low, high = lag.interval
    undecided = ", undecided" if low <= 0 <= high else ""
    return (
        f"by the same, {percent(rare.share)} of {counted(rare.judged, 'object')} of rare classes "
        f"({listed(lag.classes)}) are not learnt, and {percent(others.share)} of "
        f"{others.judged:,} of the others: a difference of [{100 * low:+.0f}, {100 * high:+.0f}] "
        f"points{undecided}"
    )


def _first(names: Sequence[str]) -> str:
    return f" (first: {names[0]})" if names else ""
