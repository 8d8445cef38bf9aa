"""What a project outside gets when it loads our fixtures: nothing of this one's tests is there to help."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFTEST = 'pytest_plugins = ["keeper.devnet.fixtures"]\n'
TEST = """
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import requests

from keeper.devnet.faults import Drop, RateLimited


class Node(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": "0x2a"}).encode())


@pytest.fixture
def node():
    server = HTTPServer(("127.0.0.1", 0), Node)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def ask(url):
    return requests.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}, timeout=9)


def test_a_client(fault_proxy, node):
    proxy = fault_proxy(node, seed=7)
    proxy.set("eth_*", RateLimited(retry_after=3), times=1)
    limited = ask(proxy.url)
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "3")
    assert ask(proxy.url).json()["result"] == "0x2a"
    assert proxy.faults["RateLimited"] == 1


def test_two_at_once(fault_proxy, node):
    well, sick = fault_proxy(node), fault_proxy(node)
    sick.set("*", Drop())
    assert ask(well.url).status_code == 200
    with pytest.raises(requests.ConnectionError):
        ask(sick.url)
"""


def test_another_project_can_use_the_proxy_that_misbehaves(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_client.py").write_text(TEST)
    done = subprocess.run(  # noqa: S603  our own interpreter and files
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(tmp_path)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("..")
