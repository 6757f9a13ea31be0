"""mfp verify-resume: it says yes of what is the same, and no of what is not."""

from __future__ import annotations

import dataclasses
import json
import signal

import compilation
import pytest

from mfp.training import verify
from mfp.training.run import RunFolder, write_json
from mfp.training.verify import Comparison, Interruption, VerifyError


@pytest.mark.soak  # its parts are tested in test_loop and test_kills
def test_killed_runs_of_this_code_end_in_the_same_bits(
    tiny, dataset, tmp_path, tmp_path_factory, monkeypatch
):
    for name, value in compilation.environment(tmp_path_factory).items():
        monkeypatch.setenv(name, value)
    config = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, epochs=1))
    said = []
    verdict = verify.verify(config, tmp_path / "runs", kills=2, seed=1, say=said.append)
    assert verdict.good
    assert [i.signal for i in verdict.interruptions] == ["SIGKILL", "SIGTERM"]
    assert [i.allowed for i in verdict.interruptions] == [4, 0]
    assert all(i.killed > 0 for i in verdict.interruptions)
    counts = {c.what: c.count for c in verdict.comparisons}
    assert counts["parameters"] == counts["averaged parameters"] > 5
    assert counts["optimizer state"] > 2 * counts["parameters"]  # two moments, and the counts
    steps = -(-len(dataset.splits["train"]) // 32)
    assert counts["log lines"] == steps + 1  # and the epoch
    assert f"it took {steps} steps" in said[1]
    with pytest.raises(VerifyError, match="exists; remove it"):
        verify.verify(config, tmp_path / "runs", kills=2, seed=1, say=said.append)


def ended(folder, log="{}\n{}\n", **changed):
    """The records of a run that ended."""
    run = RunFolder(folder)
    folder.mkdir()
    run.log_file.write_text(log)
    hashes = {"parameters": {"a": "1", "b": "2"}, "optimizer state": {"a": "3"}} | changed
    write_json(folder / "hashes.json", hashes)
    return run


@pytest.mark.parametrize(
    ("other", "different"),
    [
        ({}, {}),
        ({"parameters": {"a": "1", "b": "3"}}, {"parameters": 1}),
        ({"parameters": {"a": "1"}}, {"parameters": 1}),
        ({"optimizer state": {"a": "3", "c": "4"}}, {"optimizer state": 1}),
        ({"log": "{}\n[]\n"}, {"log lines": 1}),
        ({"log": "{}\n{}"}, {"log lines": 1}),
        ({"log": "{}\n{}\n{}\n"}, {"log lines": 1}),
    ],
)
def test_a_difference_is_found_where_it_is(tmp_path, other, different):
    found = verify._compare(ended(tmp_path / "a"), ended(tmp_path / "b", **other))
    assert {c.what: c.different for c in found if c.different} == different
    assert verify.Verdict([], found).good == (not different)


def test_a_verdict_on_lost_steps():
    same = [Comparison("parameters", 3, 0)]

    def good(*row):
        return verify.Verdict([Interruption(*row)], same).good

    assert good("SIGKILL", 14, 10, 4)
    assert not good("SIGKILL", 15, 10, 4)
    assert good("SIGKILL", 15, 10, None)
    assert good("SIGTERM", 15, 15, 0)
    assert good("SIGTERM", 15, 16, 0)  # a step that was saved and not yet logged
    assert not good("SIGTERM", 16, 15, 0)
    assert not verify.Verdict([], [Comparison("parameters", 0, 0)]).good


def test_a_process_that_fails_is_named(tiny, tmp_path):
    config = dataclasses.replace(tiny, data=dataclasses.replace(tiny.data, source="table"))
    with pytest.raises(VerifyError, match=r"undisturbed: a training process ended with code 1: .+"):
        verify.verify(config, tmp_path, kills=1, seed=0, say=lambda _: None)


def test_more_kills_than_steps(tiny, tmp_path, monkeypatch):
    def run(config, folder, kill):
        assert kill is None
        folder.path.mkdir()
        folder.log_file.write_text(json.dumps({"step": 3}) + "\n" + '{"step": 4')

    monkeypatch.setattr(verify, "_run", run)
    with pytest.raises(VerifyError, match="--kills: 3 do not fit into the 3 steps"):
        verify.verify(tiny, tmp_path, kills=3, seed=0, say=lambda _: None)


def test_the_steps_to_kill_at_come_from_the_seed(tiny, tmp_path, monkeypatch):
    def planned(seed, folder):
        kills = []

        def run(config, run, kill):
            run.path.mkdir(exist_ok=True, parents=True)
            run.log_file.write_text(json.dumps({"step": 50}) + "\n")
            if kill is not None:
                kills.append(kill)
            with (run.path / "sessions.jsonl").open("a") as file:
                file.write('{"from": 50}\n')
            write_json(run.path / "hashes.json", {})
            return 0 if kill is None else 128 + kill.signal

        monkeypatch.setattr(verify, "_run", run)
        verify.verify(tiny, tmp_path / folder, kills=3, seed=seed, say=lambda _: None)
        return kills

    first = planned(0, "a")
    assert first == planned(0, "b")
    assert first != planned(1, "c")
    assert [k.signal for k in first] == [signal.SIGKILL, signal.SIGTERM, signal.SIGKILL]
    assert 0 < first[0].step < first[1].step < first[2].step < 50
