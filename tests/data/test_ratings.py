"""Ratings: leave-one-out in time, what is left out, networks of users and histories, to a file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from omegaconf import OmegaConf
from places import CONF, ITEMS
from running import run_in
from torch import nn

from condenser import deploy
from condenser.data import DataModule, Splits, movielens_small, ratings
from condenser.errors import CondenserError
from condenser.measure import Predictions, predict, quality
from condenser.models import build

TABLE = """userId,movieId,rating,timestamp
1,30,4,9
1,10,5,1
1,20,3,2
1,40,4,3
2,20,1,5
2,10,2,4
2,30,5,6
3,10,5,7
4,40,5,3
4,50,5,8
"""
NAMES = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
KINDS = [name for name in NAMES if name.startswith(ITEMS) and not name.startswith("mf_")]


def table(folder: Path, text: str = TABLE) -> Path:
    (folder / "ratings.csv").write_text(text)
    return folder / "ratings.csv"


def rows(part: Any) -> list[tuple[list[int], list[int]]]:
    return list(zip(part.images.tolist(), part.targets.tolist(), strict=True))


def built(name: str, splits: Splits, **settings: Any) -> nn.Module:
    config: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"model/{name}.yaml"))
    assert config["name"] == name and splits.vocabulary is not None
    sizes = splits.train.shape, len(splits.classes), ()
    torch.manual_seed(0)
    return build(config | settings, *sizes, vocab_size=splits.vocabulary.size).eval()


def test_the_last_item_in_time_is_tests_the_one_before_validations(tmp_path: Path) -> None:
    found = ratings(table(tmp_path), min_events=1)
    assert found.classes == ["10", "20", "30", "40", "50"] and found.task == "ranking"
    assert found.vocabulary is not None and found.vocabulary.size == 4 + 2
    none = -100
    # users in the order of their first event: 1, 4, 2, 3
    assert rows(found.train) == [
        ([2], [0, 1]),
        ([2], [1, 0]),
        ([3], [3, 4]),
        ([3], [4, 3]),
        ([4], [0, none]),
        ([5], [0, none]),
    ]
    assert found.val is not None
    assert rows(found.val) == [([2], [3, 0, 1]), ([4], [1, 0, none])]
    assert rows(found.test) == [([2], [2, 0, 1, 3]), ([4], [2, 0, 1, none])]
    assert found.notes == (
        "2 users have one or two items: they train only",
        "2 of 2 test items are in nobody's train part: hardly to be found",
    )


def test_histories_end_before_the_item_asked_for(tmp_path: Path) -> None:
    found = ratings(table(tmp_path), form="history", min_events=1, length=2)
    assert found.vocabulary is not None and found.vocabulary.size == 5 + 2
    assert rows(found.train) == [([2, 0], [1, 0]), ([5, 0], [4, 3])]
    assert found.val is not None
    assert rows(found.val) == [([2, 3], [3, 0, 1]), ([2, 0], [1, 0, -100])]
    assert rows(found.test) == [([3, 5], [2, 0, 1, 3]), ([2, 3], [2, 0, 1, -100])]


def test_few_stars_few_events_and_long_pasts_are_left_out(tmp_path: Path) -> None:
    file = table(tmp_path)
    liked = ratings(file, min_events=1, min_rating=4)
    assert liked.classes == ["10", "30", "40", "50"]
    often = ratings(file, min_events=2)  # 50 goes, then user 4 has one item left and goes
    assert often.classes == ["10", "20", "30"] and len(often.test.targets) == 2
    latest = ratings(file, min_events=1, most=3)
    assert rows(latest.test)[0] == ([2], [2, 1, 3])


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("user,stars\n1,2\n", {}, "whose first line has item .* it has user, stars"),
        ("", {}, "whose first line has user .* it has nothing"),
        ("user,item\n1,\n", {}, r"ratings.csv: line 2 has no user or no item: \['1', ''\]"),
        ("user,item,rating\n1,2,x\n", {}, "line 2 has a rating or time that is no number"),
        ("user,item,time\n1,2,nan\n", {}, "line 2 has a rating or time that is no number"),
        (TABLE, {"min_events": 9}, "data.source.min_events=9: must be low enough .* 10 events"),
        (TABLE, {"form": "users"}, "data.source.form=users: unknown; did you mean user"),
        (TABLE, {"length": 0}, "data.source.length=0"),
    ],
)
def test_what_is_no_table_is_one_line(
    tmp_path: Path, text: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(CondenserError, match=message) as caught:
        ratings(table(tmp_path, text), **settings)
    assert "\n" not in str(caught.value)


def test_no_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CondenserError, match="must be a .csv of user, item"):
        ratings(tmp_path / "none.csv")
    with pytest.raises(CondenserError, match="a folder that holds MovieLensSmall/ratings.csv"):
        movielens_small(tmp_path)
    (tmp_path / "ratings.csv").write_bytes(b"user,item\n\xff,1\n")
    with pytest.raises(CondenserError, match="not in UTF-8"):
        ratings(tmp_path / "ratings.csv")


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 people; of two tastes, each with 10 of 20 films of its own."""
    draw, lines = np.random.default_rng(0), ["user,item,time"]
    for person in range(60):
        films = draw.permutation(20)[:10] + 20 * (person % 2)
        lines += [f"p{person},{film},{place}" for place, film in enumerate(films)]
    file = tmp_path_factory.mktemp("crowd") / "ratings.csv"
    file.write_text("\n".join(lines))
    return file


def data_of(file: Path, form: str = "user") -> DataModule:
    source = lambda root: ratings(root, form=form)  # type: ignore[arg-type]  # noqa: E731
    made = DataModule("x", source, file, batch_size=16)
    made.setup()
    return made


@pytest.mark.parametrize("name", KINDS)
def test_every_network_scores_every_item_whatever_the_padding_and_order(
    name: str, crowd: Path, tmp_path: Path
) -> None:
    splits = ratings(crowd, form="history" if name == "sasrec" else "user", length=12)
    model, ids = built(name, splits), splits.test.read(torch.arange(8))
    with torch.no_grad():
        scores = model(ids)
        assert scores.shape == (8, 40) and scores.isfinite().all()
        order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(model(ids[order]), scores[order])
        if name == "sasrec":
            for more in (1, 30):
                padded = nn.functional.pad(ids[:, :9], (0, more))
                torch.testing.assert_close(model(padded), model(ids[:, :9]))
            assert model(torch.zeros(1, 3, dtype=torch.int64)).isfinite().all()
        file = deploy.write(model, deploy.Form(), ids, tmp_path / "model")
        said = onnxruntime.InferenceSession(file).run(None, {"ids": ids[:3].numpy()})[0]
        torch.testing.assert_close(torch.from_numpy(said), scores[:3], atol=1e-4, rtol=1e-4)


def test_metrics_are_those_of_a_sorted_list(crowd: Path) -> None:
    """Recall@10 and NDCG@10 over all items, by sorting in Python; what was seen is taken out."""
    data = data_of(crowd)
    model = built("mf", data.source(crowd))  # type: ignore[arg-type]
    found = quality(predict(model, data.test_dataloader(), data.task), task=data.task)
    hits, gains = [], []
    for ids, (asked, *others) in rows(data.parts.test):
        with torch.no_grad():
            scores = model(torch.tensor([ids]))[0].tolist()
        left = [item for item in range(40) if item not in others]
        place = sorted(left, key=lambda item: -scores[item]).index(asked)
        hits.append(place < 10)
        gains.append(1 / math.log2(2 + place) if place < 10 else 0)
    assert found["recall10"] == pytest.approx(np.mean(hits))
    assert found["ndcg10"] == pytest.approx(np.mean(gains))
    assert isinstance(predict(model, data.val_dataloader(), data.task), Predictions)


def test_an_interrupted_epoch_goes_on_where_it_stopped(crowd: Path) -> None:
    whole = list(data_of(crowd, "history").train_dataloader())
    loader = data_of(crowd, "history").train_dataloader()
    loader.load_state_dict({"epoch": 0, "step": 3})
    for before, after in zip(whole[3:], loader, strict=True):
        assert torch.equal(before.image, after.image) and torch.equal(before.target, after.target)


@pytest.mark.parametrize("objective", ["rrd", "de", "bpr"])
def test_a_small_network_learns_tastes_from_a_large_one(
    objective: str, crowd: Path, tmp_path: Path
) -> None:
    run = ("data=ratings", f"data.root={crowd}", "data.limit=null", "model@teacher.model=mf")
    words = ("optim.epochs=3", "optim.lr=3e-2", "optim.batch_size=32", f"distill={objective}")
    records = run_in(tmp_path, *run, *words, "recipe=[teacher,distill]")
    assert records[-1]["test/recall10"] > 0.5  # by chance a quarter, of one taste a half
