from __future__ import annotations

import math
import os
import threading
from pathlib import Path

import pytest

from aigdetect.data.layouts import Sample
from aigdetect.errors import UsageError
from aigdetect.evaluation.foreign import parse_scores_option, read_scores


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    root = str(tmp_path / "data")
    names = ("a/0_real/1.png", "a/1_fake/1.png", "b/1_fake/only.png")
    return [
        Sample(os.path.join(root, name), int("fake" in name), name[0], root=root)  # noqa: PTH118
        for name in names
    ]


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "scores.csv"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    return file


def test_joins_by_path_absolute_or_relative_to_the_root_or_the_file(
    tmp_path: Path, samples: list[Sample]
) -> None:
    file = write(
        tmp_path, f"path,score\n{samples[0].path},0.25\na/1_fake/1.png,0.5\ndata/b/1_fake/only.png,0.75\n"
    )
    found = read_scores("x", file, samples)
    assert [score.score for score in found.scores] == [0.25, 0.5, 0.75]
    assert found.unmatched == ()


def test_joins_by_a_file_name_that_only_one_image_has(tmp_path: Path, samples: list[Sample]) -> None:
    file = write(tmp_path, "filename,score\nelsewhere/only.png,0.75\nelsewhere/1.png,0.1\n")
    found = read_scores("x", file, samples)
    assert found.unmatched == ("elsewhere/1.png",)  # two images have this name
    assert [score.score for score in found.scores] == [None, None, 0.75]
    assert [score.error for score in found.scores[:2]] == ["the file of scores has no such image"] * 2


@pytest.mark.parametrize(
    ("values", "scale", "probability"),
    [(("0.2", "1"), "probability", 0.2), (("0.2", "-3"), "score", None), (("0.2", "inf"), "score", None)],
)
def test_scores_within_0_and_1_are_probabilities(
    tmp_path: Path, samples: list[Sample], values: tuple[str, str], scale: str, probability: float | None
) -> None:
    first, second = values
    file = write(tmp_path, f"score,path\n{first},a/0_real/1.png\n{second},a/1_fake/1.png\n")
    found = read_scores("x", file, samples)
    assert found.scale == scale
    assert found.scores[0].probability == probability


def test_rows_without_a_number_keep_their_reason(tmp_path: Path, samples: list[Sample]) -> None:
    file = write(
        tmp_path,
        "path,score,error,log10_lr\na/0_real/1.png,,cannot be read,\na/1_fake/1.png,much,,\n"
        "b/1_fake/only.png,-2.5,,-1.5\n",
    )
    found = read_scores("x", file, samples)
    assert [score.error for score in found.scores] == ["cannot be read", "score 'much' is not a number", ""]
    assert found.scores[2].log10_lr == -1.5
    nan = write(tmp_path, "path,score\na/0_real/1.png,nan\na/1_fake/1.png,1\n")
    assert read_scores("x", nan, samples).scores[0].error == "score 'nan' is not a number"
    assert not any(
        score.score is not None and math.isnan(score.score) for score in read_scores("x", nan, samples).scores
    )


def test_names_made_safe_for_spreadsheets_and_names_of_any_bytes(tmp_path: Path) -> None:
    root = str(tmp_path)
    odd = os.fsdecode(b"\xff.png")
    samples = [Sample(f"{root}/{name}", 1, "g", root=root) for name in ("=1+1.png", odd)]
    file = write(tmp_path, f"path,score\n'=1+1.png,0.5\n{odd},0.6\n")
    assert [score.score for score in read_scores("x", file, samples).scores] == [0.5, 0.6]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("delimiter", "number"), [(",", "0.25"), (";", "0,25"), (";", "0.25"), ("\t", "0.25")]
)
def test_tables_of_spreadsheets_and_of_powershell(
    tmp_path: Path, samples: list[Sample], encoding: str, delimiter: str, number: str
) -> None:
    file = tmp_path / "scores.csv"
    rows = [("Path", "Score"), ("a/0_real/1.png", number), ("b/1_fake/only.png", "1")]
    file.write_bytes("".join(f"{delimiter.join(row)}\r\n" for row in rows).encode(encoding))
    assert [score.score for score in read_scores("x", file, samples).scores] == [0.25, None, 1]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_scores_may_come_through_a_pipe(tmp_path: Path, samples: list[Sample]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"path,score\na/0_real/1.png,0.5\n",))
    writer.start()
    assert read_scores("x", pipe, samples).scores[0].score == 0.5
    writer.join()


def test_one_score_twice_is_one_and_two_scores_are_refused(tmp_path: Path, samples: list[Sample]) -> None:
    same = write(tmp_path, "path,score\na/0_real/1.png,0.5\na/0_real/1.png,0.5\n")
    assert read_scores("x", same, samples).scores[0].score == 0.5
    other = write(tmp_path, "path,score\na/0_real/1.png,0.5\na/0_real/1.png,0.6\n")
    with pytest.raises(UsageError, match=r"line 3: a second score for .*; keep one"):
        read_scores("x", other, samples)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,logits\na,1\n", "must name the columns path,score, it names path, logits"),
        ("", "must name the columns path,score, it names none"),
        ("path,score\nother.png,1\n", "fits no image of the data"),
        ("path,score\na/0_real/1.png,\n", "fits no image of the data"),
    ],
)
def test_files_of_no_use_are_refused(tmp_path: Path, samples: list[Sample], text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_scores("x", write(tmp_path, text), samples)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path, samples: list[Sample]) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_scores("x", tmp_path / "none.csv", samples)


def test_the_option() -> None:
    assert parse_scores_option("my peer=a=b.csv") == ("my peer", Path("a=b.csv"))
    for text in ("a.csv", "=a.csv", "name="):
        with pytest.raises(UsageError, match=r"is not NAME=FILE\.csv"):
            parse_scores_option(text)
