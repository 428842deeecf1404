"""Progress where there is no terminal: lines of log, and not too many of them."""

import logging
import subprocess
import sys

import pytest

import mfvjax.cli
from mfvjax.cli._log import LOG, log_to_stderr
from mfvjax.cli._progress import ProgressLines, progress_bars, spoken


@pytest.fixture
def lines(caplog):
    """A function that tells of progress at a time, and the lines that it has made so far."""
    caplog.set_level(logging.INFO, logger="mfvjax")
    now = [0.0]
    tell = ProgressLines(clock=lambda: now[0])

    def at(seconds, *report):
        now[0] = seconds
        tell(*report)
        return caplog.messages

    return at


def test_the_first_and_the_last_and_every_ten_seconds(lines):
    for second in range(41):
        told = lines(second, "ascent", second, 40)
    assert told == [
        "ascent: 0 of 40",
        "ascent: 10 of 40, 30 s left",
        "ascent: 20 of 40, 20 s left",
        "ascent: 30 of 40, 10 s left",
        "ascent: 40 of 40, in 40 s",
    ]


def test_time_left_counts_from_where_the_step_began(lines):
    lines(100, "units", 900, 1000)  # resumed
    assert lines(160, "units", 920, 1000)[-1] == "units: 920 of 1000, 4 min left"


def test_steps_are_told_of_each_on_its_own_and_may_begin_again(lines):
    lines(0, "reading images", 32, 64)
    lines(1, "finding facets", 1, 2)
    assert len(lines(2, "reading images", 64, 64)) == 3
    assert len(lines(3, "reading images", 64, 64)) == 3  # told already
    assert lines(4, "reading images", 32, 90)[-1] == "reading images: 32 of 90"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (99, "99 s"), (100, "2 min"), (5939, "99 min"), (7320, "2 h 2 min")],
)
def test_durations(seconds, text):
    assert spoken(seconds) == text


def test_what_is_quiet_says_nothing(capsys):
    log_to_stderr()
    with progress_bars(quiet=True) as report:
        report("ascent", 1, 2)
        LOG.info("of interest")
    assert capsys.readouterr().err == ""
    LOG.warning("a warning")
    LOG.warning("a warning")
    assert capsys.readouterr().err == "mfvjax: warning: a warning\n"


def test_lines_go_to_standard_error_and_the_level_is_put_back(capsys):
    log_to_stderr()
    log_to_stderr()
    with progress_bars(quiet=False) as report:
        report("ascent", 0, 2)
        LOG.info("of\ninterest")
    LOG.info("not any more")
    assert capsys.readouterr() == ("", "mfvjax: ascent: 0 of 2\nmfvjax: of interest\n")


def test_a_terminal_has_bars(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with progress_bars(quiet=False) as report:
        assert not isinstance(report, ProgressLines)
        report("ascent", 1, 2)
    assert "ascent" in capsys.readouterr().err


def test_memory_that_is_missing_is_told_in_one_line(monkeypatch, capsys):
    def too_much():
        raise MemoryError("a map of 9 images needs more")

    monkeypatch.setattr(mfvjax.cli, "make_app", too_much)
    with pytest.raises(SystemExit):
        mfvjax.cli.main()
    assert capsys.readouterr().err == "mfvjax: error: a map of 9 images needs more\n"


def test_commands_in_a_queue_tell_of_their_progress(small_pool, tmp_path):
    """The way of a job without a terminal: standard error is a file."""
    command = [sys.executable, "-c", "from mfvjax.cli import main; main()", "facets"]
    job = [tmp_path / "f.npz", "-i", small_pool, "-u", "conv1:0", "-k", "2", "--mean-images", "5"]
    plain = subprocess.run([*command, *job], capture_output=True, text=True, check=True)
    assert "mfvjax: reading codes: " in plain.stderr
    assert "mfvjax: conv1:0 is a hidden unit: of 72 images the 50 that" in plain.stderr
    for quiet in ("--json", "--quiet"):
        silent = subprocess.run([*command, *job, quiet], capture_output=True, text=True, check=True)
        assert silent.stderr == ""
