"""Records of a run: the same numbers in log.jsonl and TensorBoard; a resumed run hides the rest."""

from __future__ import annotations

import json

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from mfp.training.events import Events
from mfp.training.run import RunFolder


def events_of(run: RunFolder) -> list[Event]:
    """All events in the order of their files: length (8), its check (4), event, its check (4)."""
    found = []
    for path in sorted(run.tensorboard.iterdir(), key=lambda path: int(path.suffix[1:])):
        content, at = path.read_bytes(), 0
        while at < len(content):
            size = int.from_bytes(content[at : at + 8], "little")
            found.append(Event.FromString(content[at + 12 : at + 12 + size]))
            at += 16 + size
    return found


def scalars(run: RunFolder) -> dict[tuple[str, int], float]:
    return {
        (value.tag, event.step): value.simple_value
        for event in events_of(run)
        for value in event.summary.value
    }


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path)


LINES = (
    {"step": 2, "epoch": 1, "loss": 0.5, "learning_rate": 0.25},
    {"step": 3, "epoch": 1, "validation": {"loss": 0.75, "rating": {"r2": -0.5, "n": 7}}},
)
DRAWN = {
    ("train/loss", 2): 0.5,
    ("train/learning_rate", 2): 0.25,
    ("validation/loss", 3): 0.75,
    ("validation/rating/r2", 3): -0.5,
    ("validation/rating/n", 3): 7,
}


def test_a_line_is_drawn(run):
    with Events(run, step=0) as events:
        for line in LINES:
            events.log(line)
        events.speed({"step": 3, "epoch": 1, "films_per_second": 1024.0})
    assert [json.loads(line) for line in run.log_file.read_text().splitlines()] == list(LINES)
    assert scalars(run) == DRAWN | {("speed/films_per_second", 3): 1024.0}
    (line,) = run.speed_file.read_text().splitlines()
    assert json.loads(line)["films_per_second"] == 1024.0


def test_nothing_is_lost_after_a_flush(run):
    events = Events(run, step=0)
    events.flush()  # nothing yet
    events.log(LINES[0])
    events.flush()
    assert ("train/loss", 2) in scalars(run)
    del events


def test_resuming_hides_later_steps(run):
    with Events(run, step=0) as events:
        for line in LINES:
            events.log(line)
    with Events(run, step=2) as events:
        events.log({"step": 3, "epoch": 1, "loss": 0.125})
    assert [json.loads(line)["step"] for line in run.log_file.read_text().splitlines()] == [2, 3]
    starts = [e.step for e in events_of(run) if e.session_log.status == SessionLog.START]
    assert starts == [1, 3]  # TensorBoard drops what older files say of these steps and later


def test_a_finished_run_that_is_opened_again_draws_nothing(run):
    with Events(run, step=5):
        pass
    assert not run.tensorboard.exists()
