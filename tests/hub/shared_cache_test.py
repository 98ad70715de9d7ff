#!/usr/bin/env python3
"""m2 and huggingface_hub on one cache: what either downloads, the other finds, resumes and locks.

Usage: shared_cache_test.py M2 PYTHON. Exits 77 (skipped) when PYTHON has no huggingface_hub.
"""

import fcntl
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

M2, PYTHON = sys.argv[1], sys.argv[2]
COMMIT = "a" * 40
WEIGHTS = bytes(range(256)) * 800

SNAPSHOT = "import huggingface_hub as h; print(h.snapshot_download('test/model'))"
FILE = "import huggingface_hub as h; print(h.hf_hub_download('test/model', %r))"
SCAN = """
import huggingface_hub as h
info = h.scan_cache_dir()
assert not info.warnings, info.warnings
(repo,) = info.repos
print(sorted((f.file_name, f.size_on_disk) for r in repo.revisions for f in r.files))
"""


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


class Hub:
    def __init__(self, directory):
        self.root = pathlib.Path(directory)
        repo = self.root / "repos/test/model"
        write(repo / "repo.json", json.dumps({"refs": {"main": COMMIT}}).encode())
        write(repo / COMMIT / "config.json", b"{}")
        write(repo / COMMIT / "sub/a b.txt", b"text")
        write(repo / COMMIT / "model.safetensors", WEIGHTS)
        script = pathlib.Path(__file__).with_name("hub_server.py")
        self.process = subprocess.Popen([sys.executable, script, self.root],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline().split()[0])

    def fetches(self):
        """The files whose content was fetched since the last call."""
        log = self.root / "requests.log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        requests = [json.loads(line) for line in lines]
        return sorted(r["path"].split("?")[0].split("/")[-1] for r in requests
                      if r["method"] == "GET" and "/api/" not in r["path"]
                      and not (r["server"] == "hub" and "safetensors" in r["path"]))


def run(home, hub, *command, offline=False):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    environment |= {"HF_HOME": str(home), "HF_ENDPOINT": f"http://127.0.0.1:{hub.port}",
                    "HF_HUB_DISABLE_XET": "1", "no_proxy": "127.0.0.1,localhost",
                    "HF_HUB_OFFLINE": "1" if offline else "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout.strip()


def layout(home):
    """Every path below the models with its link target or content."""
    root = home / "hub" / "models--test--model"
    kinds = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_dir() or name.startswith("trees/"):  # an index of huggingface_hub's own
            continue
        kinds[name] = os.readlink(path) if path.is_symlink() else path.read_bytes()
    return kinds


def test_same_layout(hub, home):
    run(home / "ours", hub, M2, "download", "test/model")
    run(home / "theirs", hub, PYTHON, "-c", SNAPSHOT)
    assert layout(home / "ours") == layout(home / "theirs"), (layout(home / "ours").keys(),
                                                              layout(home / "theirs").keys())
    for name in ("ours", "theirs"):
        assert run(home / name, hub, PYTHON, "-c", SCAN) == str(sorted(
            [("config.json", 2), ("a b.txt", 4), ("model.safetensors", len(WEIGHTS))])), name


def test_they_find_ours(hub, home):
    ours = run(home, hub, M2, "download", "test/model")
    hub.fetches()
    assert run(home, hub, PYTHON, "-c", SNAPSHOT) == ours
    assert run(home, hub, PYTHON, "-c", SNAPSHOT, offline=True) == ours
    assert run(home, hub, PYTHON, "-c", FILE % "sub/a b.txt", offline=True) == ours + "/sub/a b.txt"
    assert hub.fetches() == []


def test_we_find_theirs(hub, home):
    theirs = run(home, hub, PYTHON, "-c", FILE % "config.json").removesuffix("/config.json")
    hub.fetches()
    assert run(home, hub, M2, "download", "test/model") == theirs
    assert hub.fetches() == ["a%20b.txt", "model.safetensors"]
    assert run(home, hub, M2, "download", "test/model", "--offline") == theirs
    assert run(home, hub, M2, "download", "test/model", "config.json", offline=True) == (
        theirs + "/config.json")
    assert hub.fetches() == []


def test_locks_exclude_each_other(hub, home):
    """The lock is taken as filelock takes it; both programs wait for whoever holds it."""
    run(home, hub, M2, "download", "test/model", "config.json")
    (lock,) = (home / "hub/.locks/models--test--model").iterdir()
    for command in ((M2, "download", "test/model", "config.json", "--force"),
                    (PYTHON, "-c", FILE.replace("%r", "%r, force_download=True") % "config.json")):
        holder = subprocess.Popen(
            [PYTHON, "-c", "import sys, filelock\nwith filelock.FileLock(sys.argv[1]):\n"
             "  print('held', flush=True); sys.stdin.read()", lock],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert holder.stdout.readline() == b"held\n"
        environment = {**os.environ, "HF_HOME": str(home), "no_proxy": "127.0.0.1,localhost",
                       "HF_ENDPOINT": f"http://127.0.0.1:{hub.port}"}
        waiting = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        time.sleep(1)
        assert waiting.poll() is None, command
        holder.communicate(b"")
        assert waiting.wait(timeout=60) == 0, command
        waiting.stdout.close()
    with open(lock) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def main():
    probe = (PYTHON, "-c", "import huggingface_hub, filelock")
    if not os.access(PYTHON, os.X_OK) or subprocess.run(probe, capture_output=True).returncode != 0:
        print(f"skipped: {PYTHON} has no huggingface_hub (tools/reference_environment.sh)")
        return 77
    with tempfile.TemporaryDirectory() as directory:
        hub = Hub(pathlib.Path(directory) / "server")
        for test in (test_same_layout, test_they_find_ours, test_we_find_theirs,
                     test_locks_exclude_each_other):
            home = pathlib.Path(directory) / test.__name__
            home.mkdir()
            hub.fetches()
            test(hub, home)
            print("ok", test.__name__)
        hub.process.communicate(b"")
    return 0


if __name__ == "__main__":
    sys.exit(main())
