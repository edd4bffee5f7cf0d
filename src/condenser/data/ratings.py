"""Ratings as sequences of items by user; the last two of each are held out."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from math import isnan, nan
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from condenser.data.samples import Arrays, Splits
from condenser.data.torchvision_sets import folder
from condenser.errors import ConfigError, DamagedError, UnknownError, count, shown
from condenser.files import read_bytes
from condenser.tasks import NOTHING, Ranking, Vocabulary

FIRST = 2  # id of the first item, or user: 0 is padding, 1 one that is not known
COLUMNS = {
    "user": ("user", "userid", "user_id"),
    "item": ("item", "itemid", "item_id", "movieid", "movie_id"),
    "rating": ("rating", "stars", "score"),
    "time": ("time", "timestamp", "date"),
}
FORMS = ("user", "history")
Case = tuple[int, Tensor, Tensor]  # a user, the items, the places of those that are asked for
MOST = 1 << 32  # bytes of a table


class Event(NamedTuple):
    """What a line says."""

    user: str
    item: str
    rating: float
    time: float


def ratings(
    root: str | Path | None,
    form: Literal["user", "history"] = "user",
    min_rating: float | None = None,
    min_events: int = 5,
    most: int = 300,
    length: int = 50,
) -> Splits:
    """Which item comes next? From a .csv with columns user, item, and maybe rating and time.

    Of each user, in order of time (of lines where there is none), the last item is the test set's,
    the one before validation's, the others train: leave-one-out. Every rating counts as an event,
    whatever the stars; of an item rated twice the first. Users of one or two items train only; an
    item that nobody has in train is among those that are ranked, though nothing says when.

    Samples are one for each event of train: with form ``user`` the user's id → the item, with
    ``history`` the ``length`` items before it → the item, from a user's second on. Targets hold the
    items that the user has beside it (``history``: before it), which a ranking, and a loss, leaves
    out.

    Args:
        min_rating: events with fewer stars do not count; None: all count.
        min_events: users and items with fewer are left out, until all that are left have as many.
        most: of a user's events the latest so many count: targets are as wide.

    Raises:
        ConfigError: no such file or columns, or nothing is left.
        DamagedError: a line without a user or an item, or with a rating or time that is no number.
    """
    if form not in FORMS:
        raise UnknownError("data.source.form", form, FORMS)
    count("data.source.min_events", min_events)
    count("data.source.length", length)
    count("data.source.most", most)
    events = list(table(root))
    if min_rating is not None:
        events = [event for event in events if event.rating >= min_rating]
    kept = core(events, min_events)
    if not kept:
        allowed = f"low enough that users and items are left of {len(events):,} events"
        raise ConfigError("data.source.min_events", min_events, allowed)
    return leave_one_out({user: items[-most:] for user, items in kept.items()}, form, length)


def movielens_small(root: str | Path | None, **settings: object) -> Splits:
    """MovieLens ml-latest-small: 100,836 ratings of 9,724 films by 610 people, as ``ratings``.

    Source: Harper, Konstan, The MovieLens Datasets (2015), https://doi.org/10.1145/2827872
    """
    file = folder(root) / "MovieLensSmall" / "ratings.csv"
    if not file.is_file():
        allowed = "a folder that holds MovieLensSmall/ratings.csv"
        raise ConfigError("data.root", root, allowed, "it is not there")
    return ratings(file, **settings)  # type: ignore[arg-type]


def table(root: str | Path | None) -> Iterator[Event]:
    """The lines of a .csv, in order of time."""
    path = Path(root or "").expanduser()
    if root is None or not path.is_file():
        raise ConfigError("data.root", root, "a .csv of user, item[, rating, time]", "none there")
    try:
        text = read_bytes(path, MOST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DamagedError(f"{shown(path)}: not in UTF-8: {error}") from error
    lines = csv.reader(io.StringIO(text, newline=""))
    head = [name.strip().lower() for name in next(lines, [])]
    places = {
        column: next((head.index(name) for name in names if name in head), None)
        for column, names in COLUMNS.items()
    }
    for column in ("user", "item"):
        if places[column] is None:
            allowed = f"a .csv whose first line has {column} ({', '.join(COLUMNS[column][1:])})"
            raise ConfigError("data.root", root, allowed, f"it has {', '.join(head) or 'nothing'}")
    found = [event_of(path, n, line, places) for n, line in enumerate(lines, start=2) if line]
    return iter(sorted(found, key=lambda event: event.time))


def event_of(path: Path, number: int, line: Sequence[str], places: dict[str, int | None]) -> Event:
    """One line; ``places`` are the columns'."""
    given = {
        column: line[place].strip() if place < len(line) else ""
        for column, place in places.items()
        if place is not None
    }
    if not given["user"] or not given["item"]:
        raise DamagedError(f"{shown(path)}: line {number} has no user or no item: {line}")
    try:
        rating, time = (float(given.get(column, "0")) for column in ("rating", "time"))
    except ValueError:
        rating = time = nan
    if isnan(rating) or isnan(time):
        what = "a rating or time that is no number"
        raise DamagedError(f"{shown(path)}: line {number} has {what}: {line}")
    return Event(given["user"], given["item"], rating, time)


def core(events: Sequence[Event], least: int) -> dict[str, list[str]]:
    """User → different items in order; users and items have ``least`` or more of each other."""
    users: dict[str, dict[str, None]] = {}
    for event in events:
        users.setdefault(event.user, {}).setdefault(event.item)
    while True:
        sizes: dict[str, int] = {}
        for items in users.values():
            for item in items:
                sizes[item] = sizes.get(item, 0) + 1
        few = {item for item, size in sizes.items() if size < least}
        kept = {user: [i for i in items if i not in few] for user, items in users.items()}
        left = {user: dict.fromkeys(items) for user, items in kept.items() if len(items) >= least}
        if left == users:
            return {user: list(items) for user, items in left.items()}
        users = left


def leave_one_out(users: dict[str, list[str]], form: str, length: int) -> Splits:
    """`Splits` of each user's items in order."""
    names = sorted({item for items in users.values() for item in items}, key=by_number)
    number = {name: place for place, name in enumerate(names)}
    rows = [torch.tensor([number[item] for item in items]) for items in users.values()]
    held = [(user, row) for user, row in enumerate(rows) if len(row) > 2]
    first = 0 if form == "user" else 1  # of a history the first item follows nothing
    train = [(user, row if len(row) < 3 else row[:-2]) for user, row in enumerate(rows)]
    cases = [(user, row, torch.arange(first, len(row))) for user, row in train]
    val, test = (
        [(u, row[:end], last(row[:end])) for u, row in held for end in [len(row) - back]]
        for back in (1, 0)
    )
    parts = [
        Arrays(inputs(part, form, length), with_seen(part, form == "user"))
        for part in (cases, val, test)
    ]
    known = len(rows) if form == "user" else len(names)
    trained = set(torch.cat([row for _, row in train]).tolist())
    notes = unseen([int(row[-1]) for _, row in held], trained, len(rows) - len(held))
    words = Vocabulary(known + FIRST)
    return Splits(parts[0], parts[2], names, Ranking.word, parts[1], tuple(notes), words)


def last(row: Tensor) -> Tensor:
    return torch.tensor([len(row) - 1])


def inputs(cases: Sequence[Case], form: str, length: int) -> Tensor:
    """Ids int64 (N, 1) of users, or (N, length) of the items before each place, the latest last."""
    made = []
    for user, row, places in cases:
        if form == "user":
            made.append(torch.full((len(places), 1), user + FIRST))
            continue
        at = (places - length).clamp(min=0)[:, None] + torch.arange(length)
        ids = row[at.clamp(max=len(row) - 1)] + FIRST
        made.append(torch.where(at < places[:, None], ids, 0))
    return torch.cat(made)


def with_seen(cases: Sequence[Case], beside: bool) -> Tensor:
    """(N, 1 + most): the item asked for, those before it (``beside``: also behind it), -100."""
    count = sum(len(places) for _, _, places in cases)
    made = torch.full((count, max((len(row) for _, row, _ in cases), default=1)), NOTHING)
    start = 0
    for _, row, places in cases:
        end, others = start + len(places), torch.arange(len(row) - 1)
        at = others + (others >= places[:, None])
        known = row[at] if beside else torch.where(at < places[:, None], row[at], NOTHING)
        made[start:end, 0], made[start:end, 1 : len(row)] = row[places], known
        start = end
    return made


def unseen(last: Sequence[int], trained: set[int], few: int) -> Iterator[str]:
    """Warnings of what cannot be learnt or measured."""
    if few:
        yield f"{few:,} users have one or two items: they train only"
    if gone := sum(item not in trained for item in last):
        yield f"{gone:,} of {len(last):,} test items are in nobody's train part: hardly to be found"


def by_number(name: str) -> tuple[int, str]:
    return (int(name), name) if name.isdecimal() and len(name) < 19 else (0, name)
