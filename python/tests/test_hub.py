import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from unittest import mock

import m2
from support import ROOT, TINY_AGENT

COMMIT = "a" * 40


class HubTest(unittest.TestCase):
    """Against the small hub of the library's own tests, on loopback."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        repo = self.root / "hub" / "repos" / "test" / "agent"
        shutil.copytree(TINY_AGENT, repo / COMMIT)
        (repo / "repo.json").write_text(json.dumps({"refs": {"main": COMMIT}}))
        server = subprocess.Popen(
            [sys.executable, ROOT / "tests" / "hub" / "hub_server.py", self.root / "hub"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(lambda: (server.communicate(), None))
        port = server.stdout.readline().split()[0].decode()
        self.enter(mock.patch.dict(os.environ, {
            "HF_HOME": str(self.root / "home"), "HF_ENDPOINT": f"http://127.0.0.1:{port}",
            "no_proxy": "127.0.0.1"}))

    def enter(self, context):
        context.start()
        self.addCleanup(context.stop)

    def add_fault(self, **fault):
        (self.root / "hub" / "faults.json").write_text(json.dumps([{"times": 1, **fault}]))

    def test_model_and_tokenizer_by_id(self):
        tokenizer = m2.AutoTokenizer.from_pretrained("test/agent")
        model = m2.AutoModelForCausalLM.from_pretrained("test/agent", revision="main")
        ids = model.generate(**tokenizer("Hello", return_tensors="np"), max_new_tokens=4)
        self.assertEqual(tokenizer.decode(ids[0])[:5], "Hello")
        offline = m2.AutoConfig.from_pretrained("test/agent", local_files_only=True)
        self.assertEqual(offline, m2.AutoConfig.from_pretrained("test/agent"))
        self.assertEqual(m2.GenerationConfig.from_pretrained("test/agent").eos_token_id, 2004)

    def test_a_mistyped_directory_is_named(self):
        with self.assertRaisesRegex(FileNotFoundError, "no directory 'models/agnet' either"):
            m2.AutoConfig.from_pretrained("models/agnet")

    def test_snapshot(self):
        seen = []
        path = m2.snapshot_download("test/agent", allow_patterns="*.json", progress=seen.append)
        names = {file.name for file in pathlib.Path(path).iterdir()}
        self.assertIn("config.json", names)
        self.assertNotIn("model-00001-of-00002.safetensors", names)
        self.assertEqual(pathlib.Path(path).name, COMMIT)
        self.assertEqual(seen[-1]["files_done"], seen[-1]["files_total"])
        self.assertEqual(set(seen[0]), {"file", "files_done", "files_total", "bytes_done",
                                        "bytes_total"})
        file = m2.hub_download("test/agent", "config.json", local_files_only=True)
        self.assertEqual(pathlib.Path(file).parent, pathlib.Path(path))

    def test_errors(self):
        for error, arguments in (
            (FileNotFoundError, dict(repo_id="test/absent")),
            (FileNotFoundError, dict(repo_id="test/agent", revision="no-such-branch")),
            (FileNotFoundError, dict(repo_id="test/agent", local_files_only=True)),
            (ValueError, dict(repo_id="no id at all")),
            (TypeError, dict(repo_id="test/agent", no_such_option=1)),
        ):
            with self.subTest(arguments), self.assertRaises(error):
                m2.snapshot_download(**arguments)

    def test_an_exception_of_progress_ends_the_download(self):
        def fail(state):
            raise KeyError("progress")

        with self.assertRaises(KeyError):
            m2.snapshot_download("test/agent", progress=fail)
        m2.snapshot_download("test/agent")

    def test_ctrl_c(self):
        self.add_fault(match="safetensors", server="storage", stall_after=100)
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        with self.assertRaises(KeyboardInterrupt):
            m2.snapshot_download("test/agent", max_workers=1)
        m2.snapshot_download("test/agent")


if __name__ == "__main__":
    unittest.main()
