#!/usr/bin/env python3
"""A small model hub on loopback for the tests, with a second port as its storage host.

Usage: hub_server.py DIRECTORY. Prints "HUB_PORT STORAGE_PORT" and serves until standard input ends.

DIRECTORY/repos/OWNER/NAME/repo.json   {"refs": {"main": COMMIT, ...}, "gated"?, "private"?: TOKEN}
DIRECTORY/repos/OWNER/NAME/COMMIT/...  files; those named *.safetensors are large ones, which are
                                       served by the storage host after a redirect
DIRECTORY/faults.json                  a list of faults, read at every request:
    {"server"?: "hub"|"storage", "method"?, "match"?: part of the path, "times": how often, ...}
  with one of
    "status": number, "headers"?: {...}       answer with this
    "cut_after": bytes                        close the connection after that many bytes of the body
    "cut_headers": true                       close it in the middle of the headers
    "stall_after": bytes                      stop sending there, without closing
    "add_bytes": n                            send (and announce) n bytes more, or less
    "short_body": n                           announce nothing and send n bytes less
    "corrupt_at": n                           change the byte at n of the file
    "ignore_range": true                      answer 200 with the whole file
    "shift_range": n                          answer with a range that begins n bytes later
    "redirect": url                           "{storage}" and "{hub}" are the two hosts
    "etag": text                              another ETag
    "commit": text                            another X-Repo-Commit
DIRECTORY/requests.log                 one JSON object for each request
"""

import hashlib
import http.server
import json
import pathlib
import sys
import threading
import time
import urllib.parse

root = pathlib.Path(sys.argv[1])
lock = threading.Lock()
used = {}  # text of a fault -> how often it happened
ports = {}


def find_fault(server, method, path):
    with lock:
        try:
            faults = json.loads((root / "faults.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        for fault in faults:
            if fault.get("server", server) != server or fault.get("method", method) != method:
                continue
            key = json.dumps(fault)
            if fault.get("match", "") not in path or used.get(key, 0) >= fault["times"]:
                continue
            used[key] = used.get(key, 0) + 1
            return fault
    return {}


def is_large(path):
    return path.suffix == ".safetensors"


def etag(path):
    data = path.read_bytes()
    if is_large(path):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    @property
    def name(self):
        return self.server.name

    def do_HEAD(self):
        self.handle_request()

    def do_GET(self):
        self.handle_request()

    def handle_request(self):
        self.fault = find_fault(self.name, self.command, self.path)
        with lock, open(root / "requests.log", "a") as log:
            entry = {"server": self.name, "method": self.command, "path": self.path,
                     "range": self.headers.get("Range", ""),
                     "authorization": self.headers.get("Authorization", "")}
            log.write(json.dumps(entry) + "\n")
        if "cut_headers" in self.fault:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")
            return self.hang_up()
        if "status" in self.fault:
            return self.answer(self.fault["status"], self.fault.get("headers", {}), b"{}")
        if "redirect" in self.fault:
            target = self.fault["redirect"]
            for name, port in ports.items():
                target = target.replace("{%s}" % name, "http://127.0.0.1:%d" % port)
            return self.answer(302, {"Location": target}, b"")
        path = urllib.parse.urlsplit(self.path).path
        if self.name == "storage":
            return self.send_file(root / "repos" / urllib.parse.unquote(path).lstrip("/"), {})
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"] and len(parts) == 6 and parts[4] == "revision":
            return self.send_info(parts[2] + "/" + parts[3], urllib.parse.unquote(parts[5]))
        if parts[:2] == ["api", "models"] and len(parts) == 6 and parts[4] == "tree":
            return self.send_tree(parts[2] + "/" + parts[3], urllib.parse.unquote(parts[5]))
        if len(parts) >= 5 and parts[2] == "resolve":
            file = urllib.parse.unquote("/".join(parts[4:]))
            return self.resolve(parts[0] + "/" + parts[1], urllib.parse.unquote(parts[3]), file)
        return self.answer(404, {}, b"")

    def find_commit(self, repo, revision):
        """The directory of the commit, or None after an error was sent."""
        file = root / "repos" / repo / "repo.json"
        if not file.exists():
            self.answer(401, {"X-Error-Code": "RepoNotFound"}, b"")
            return None
        info = json.loads(file.read_text())
        token = self.headers.get("Authorization", "")
        if info.get("gated"):
            self.answer(403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Ask for it."}, b"")
            return None
        if info.get("private") and token != "Bearer " + info["private"]:
            headers = {"X-Error-Message": "Invalid credentials in Authorization header"}
            self.answer(401, headers if token else {"X-Error-Code": "RepoNotFound"}, b"")
            return None
        commit = info["refs"].get(revision, revision)
        if not (root / "repos" / repo / commit).is_dir():
            self.answer(404, {"X-Error-Code": "RevisionNotFound"}, b"")
            return None
        return root / "repos" / repo / commit

    def files(self, directory):
        return sorted(p for p in directory.rglob("*") if p.is_file())

    def send_info(self, repo, revision):
        commit = self.find_commit(repo, revision)
        if commit is None:
            return
        siblings = [{"rfilename": str(p.relative_to(commit)), "size": p.stat().st_size}
                    for p in self.files(commit)]
        info = {"id": repo, "sha": commit.name, "siblings": siblings}
        self.answer(200, {"Content-Type": "application/json"}, json.dumps(info).encode())

    def send_tree(self, repo, revision):
        commit = self.find_commit(repo, revision)
        if commit is None:
            return
        tree = []
        for path in self.files(commit):
            entry = {"type": "file", "path": str(path.relative_to(commit)),
                     "size": path.stat().st_size, "oid": etag(path)[:40]}
            if is_large(path):
                entry["lfs"] = {"oid": etag(path), "size": path.stat().st_size, "pointerSize": 130}
            tree.append(entry)
        self.answer(200, {"Content-Type": "application/json"}, json.dumps(tree).encode())

    def resolve(self, repo, revision, file):
        commit = self.find_commit(repo, revision)
        if commit is None:
            return
        headers = {"X-Repo-Commit": self.fault.get("commit", commit.name)}
        path = commit / file
        if not path.is_file():
            return self.answer(404, {**headers, "X-Error-Code": "EntryNotFound"}, b"")
        if is_large(path):
            location = "http://localhost:%d/%s/%s/%s?signature=1" % (
                ports["storage"], repo, commit.name, urllib.parse.quote(file))
            headers |= {"X-Linked-Etag": '"%s"' % self.fault.get("etag", etag(path)),
                        "X-Linked-Size": str(path.stat().st_size), "Location": location}
            return self.answer(302, headers, b"Found. Redirecting")
        headers["ETag"] = '"%s"' % self.fault.get("etag", etag(path))
        return self.send_file(path, headers)

    def send_file(self, path, headers):
        data = bytearray(path.read_bytes())
        if "corrupt_at" in self.fault:
            data[self.fault["corrupt_at"]] ^= 1
        total = len(data)
        begin = self.range_begin()
        status = 200
        if begin is not None and "ignore_range" not in self.fault:
            if begin >= total:
                return self.answer(416, {"Content-Range": "bytes */%d" % total}, b"")
            shown = begin + self.fault.get("shift_range", 0)
            headers = {**headers, "Content-Range": "bytes %d-%d/%d" % (shown, total - 1, total)}
            data = data[begin:]
            status = 206
        extra = self.fault.get("add_bytes", 0)
        data = data + b"x" * extra if extra >= 0 else data[:extra]
        self.answer(status, headers, bytes(data))

    def range_begin(self):
        text = self.headers.get("Range", "")
        return int(text.removeprefix("bytes=").split("-")[0]) if text else None

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "short_body" in self.fault:
            body = body[: -self.fault["short_body"]]
            self.close_connection = True
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if "cut_after" in self.fault:
            self.wfile.write(body[: self.fault["cut_after"]])
            return self.hang_up()
        if "stall_after" in self.fault:
            self.wfile.write(body[: self.fault["stall_after"]])
            self.wfile.flush()
            time.sleep(5)
            return self.hang_up()
        self.wfile.write(body)

    def hang_up(self):
        self.wfile.flush()
        self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, name):
        super().__init__(("127.0.0.1", 0), Handler)
        self.name = name
        ports[name] = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # clients hang up in these tests


Server("hub")
Server("storage")
print(ports["hub"], ports["storage"], flush=True)
sys.stdin.read()
