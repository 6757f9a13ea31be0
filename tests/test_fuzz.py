"""Thousands of inputs of chance: only documented errors come out (a million in the soak)."""

from __future__ import annotations

import io
import time
from pathlib import Path

import fuzzing
import pytest
from data.test_video import clip
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

NAMES = tuple(fuzzing.targets(Path()))
LONGEST = 5.0  # seconds of one case, on a busy machine
ANY = st.lists(st.one_of(st.sampled_from(fuzzing.FRAGMENTS), st.binary(max_size=12)), max_size=12)


def picture(form: str) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((24, 24), 90).save(out, form)
    return out.getvalue()


@pytest.fixture(scope="module")
def valid() -> list[bytes]:
    return [picture("PNG"), picture("JPEG"), picture("WEBP"), clip(frames=4), clip("avi", frames=4)]


def fuzz(name: str, cases: int, folder: Path, valid: list[bytes]) -> int:
    """Run a target on so many inputs; the number of those that were run."""
    target, count = fuzzing.targets(folder)[name], 0

    @settings(
        max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(ANY, st.integers(0, 9), st.floats(0, 1))
    def run(parts: list[bytes], which: int, place: float) -> None:
        nonlocal count
        data = b"".join(parts)
        if name in ("picture", "clip") and which < len(valid):  # a valid file with a damage
            whole = valid[which]
            at = int(place * len(whole))
            data = whole[:at] + data + whole[at + len(data) :]
        began = time.monotonic()
        target(data)
        assert time.monotonic() - began < LONGEST
        count += 1

    run()
    return count


@pytest.mark.parametrize("name", NAMES)
def test_only_documented_errors_come_out(name, tmp_path, valid):
    cases = 200 if name in ("picture", "clip") else 500
    assert fuzz(name, cases, tmp_path, valid) >= cases / 3


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", NAMES)
def test_a_million_inputs(name, tmp_path, valid, capsys):
    count = fuzz(name, 100_000, tmp_path, valid)
    with capsys.disabled():
        print(f"{name}: {count:,} inputs")
