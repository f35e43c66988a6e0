"""Locks that measurements hold: for every user, on every file system, in a folder that anybody may write to."""

import errno
import os
import stat
import subprocess
import sys
import tempfile

import pytest

from eventops.bench.records import turns

OTHER = 65534  # nobody
needs_root = pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0, reason="becomes another user"
)


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """A temporary folder as /tmp is: everybody writes, and removes what is his own."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(turns, "FALLBACKS", ())
    return folder


def without_locks(monkeypatch, number, folders):
    """`flock` fails for files in these folders, as on a file system without locks."""
    flock = turns.fcntl.flock

    def fails(file, how):
        if os.path.dirname(os.readlink(f"/proc/self/fd/{file}")) in map(str, folders):
            raise OSError(number, os.strerror(number))
        flock(file, how)

    monkeypatch.setattr(turns.fcntl, "flock", fails)


def free(path) -> bool:
    """Whether nobody holds the lock."""
    file = os.open(path, os.O_RDWR)
    try:
        turns.fcntl.flock(file, turns.fcntl.LOCK_EX | turns.fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(file)


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_everybody_may_lock_the_file(shared, mask):
    old = os.umask(mask)
    try:
        with turns.on_this_machine():
            assert not free(shared / turns.LOCK)
    finally:
        assert os.umask(old) == mask
    assert free(shared / turns.LOCK)
    assert stat.S_IMODE((shared / turns.LOCK).stat().st_mode) == 0o666


AS_ANOTHER = f"""
import os, sys, tempfile
from eventops.bench.records import turns
os.setgid({OTHER}); os.setuid({OTHER})
tempfile.tempdir, turns.FALLBACKS = sys.argv[1], ()
with getattr(turns, sys.argv[2])():
    print("held")
"""


def as_another(folder, how):
    done = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER, folder, how], capture_output=True, text=True
    )
    return done.stdout + done.stderr


@pytest.fixture
def open_path(tmp_path):
    """Other users may pass through the folders above, which pytest makes private."""
    above = [
        p
        for p in (tmp_path, *tmp_path.parents)
        if p.name.startswith(("pytest-", "popen-", "test_"))
    ]
    modes = [p.stat().st_mode for p in above]
    for path in above:
        path.chmod(0o755)
    yield
    for path, mode in zip(above, modes):
        path.chmod(mode)


@needs_root
@pytest.mark.parametrize("how", ["on_this_machine", "beside_others"])
def test_a_second_user_takes_the_lock_of_the_first(shared, open_path, how):
    with turns.on_this_machine():
        pass
    assert as_another(shared, how) == "held\n"
    os.unlink(shared / turns.LOCK)
    assert as_another(shared, how) == "held\n"
    with turns.on_this_machine():
        pass


@needs_root
def test_a_file_that_others_may_only_read_will_do(shared, open_path):
    (shared / turns.LOCK).touch(mode=0o644)
    assert as_another(shared, "on_this_machine") == "held\n"


@needs_root
def test_a_private_file_is_named_with_its_owner(shared, open_path):
    (shared / turns.LOCK).touch(mode=0o600)
    said = as_another(shared, "on_this_machine").splitlines()[-1]
    assert str(shared / turns.LOCK) in said and "user 0" in said and "mode 0600" in said
    assert "let its owner remove it, or set TMPDIR" in said


@pytest.mark.parametrize("what", ["link", "folder", "pipe"])
def test_under_the_name_may_be_anything(shared, tmp_path, what):
    path, target = shared / turns.LOCK, tmp_path / "target"
    if what == "link":
        path.symlink_to(target)
    elif what == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
        with turns.on_this_machine():  # and does not wait for who writes into it
            return
    with pytest.raises(RuntimeError, match="cannot be used .*; let its owner remove it"):
        with turns.on_this_machine():
            pass
    assert not target.exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_locks_another_folder_serves(shared, tmp_path, monkeypatch, number, capfd):
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setattr(turns, "FALLBACKS", (tmp_path / "none", other))
    without_locks(monkeypatch, number, [shared])
    with turns.on_this_machine() as span:
        assert not free(other / turns.LOCK)
        start, now = span()
        assert start <= now
    assert free(other / turns.LOCK) and capfd.readouterr().err == ""


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_any_lock_it_says_so_and_goes_on(shared, monkeypatch, number, capfd):
    without_locks(monkeypatch, number, [shared])
    for context in (turns.on_this_machine, turns.beside_others):
        with context() as span:
            assert len(span()) == 2
        assert "are not held off while this is timed; set TMPDIR" in capfd.readouterr().err


def test_another_error_of_a_lock_is_named(shared, monkeypatch):
    without_locks(monkeypatch, errno.EBADF, [shared])
    with pytest.raises(RuntimeError, match="Bad file descriptor.*set TMPDIR"):
        with turns.on_this_machine():
            pass


def test_a_folder_without_locks_says_so(tmp_path, monkeypatch, capfd):
    def fails(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(turns.fcntl, "flock", fails)
    turns.in_this_folder(tmp_path).close()
    assert "a second run in this folder is not refused" in capfd.readouterr().err


def test_a_folder_of_somebody_else_says_what_to_do(tmp_path, monkeypatch):
    (tmp_path / ".snakemake").write_text("")
    with pytest.raises(RuntimeError, match="cannot be written .*--directory FOLDER"):
        turns.in_this_folder(tmp_path)
