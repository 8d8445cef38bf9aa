"""What preflight looks at beside the vault: endpoints that really answer over HTTP, files that really have modes."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from keeper.chain.deployment import Deployment
from keeper.chain.lens import Lens
from keeper.chain.rpc import Endpoint
from keeper.domain import InputError
from keeper.ops.preflight import Check, Surroundings, preflight

HASH = "0x" + "ab" * 32
NOW = 1_000_000
DEPLOYMENT = Deployment.model_validate(
    {
        "chain_id": 1,
        "deployment_block": {"number": 5, "hash": HASH},
        **{name: f"0x{number:040x}" for number, name in enumerate(("vault", "admin", "oracle", "executor"), 1)},
        "native_token": "0x" + "04" * 20,
        "code_hashes": dict.fromkeys(("vault", "admin", "oracle", "executor"), "0x" + "cd" * 32),
    }
)
LENS = Lens(1, DEPLOYMENT.vault, DEPLOYMENT.native_token, (), (), 1)


class Node(HTTPServer):
    """A node of the chain deployed to, without any contract; its head has the timestamp `head`."""

    def __init__(self) -> None:
        self.head = NOW
        self.chain = 1
        self.hash = HASH
        self.client = "Geth/v1.15.0"
        node = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()
                reply = {"jsonrpc": "2.0", "id": request["id"], **node.answer(request["method"])}
                self.wfile.write(json.dumps(reply).encode())

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def answer(self, method: str) -> dict:
        match method:
            case "web3_clientVersion":
                return {"result": self.client}
            case "eth_chainId":
                return {"result": hex(self.chain)}
            case "eth_getBlockByNumber":
                block = {"number": "0x5", "hash": self.hash, "timestamp": hex(self.head), "baseFeePerGas": "0x1"}
                return {"result": block}
            case "eth_getCode":
                return {"result": "0x"}
            case _:
                return {"error": {"code": -32601, "message": "Method not found"}}

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(f"http://127.0.0.1:{self.server_port}/s3cret")


@pytest.fixture
def start():
    """Starts nodes."""
    running = []

    def start() -> Node:
        node = Node()
        thread = threading.Thread(target=node.serve_forever, args=(0.01,))
        thread.start()
        running.append((node, thread))
        return node

    yield start
    for node, thread in running:
        node.shutdown()
        thread.join()
        node.server_close()


@pytest.fixture
def node(start) -> Node:
    return start()


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "my keeper.yaml"
    path.write_text("")
    path.chmod(0o600)
    return path


def look(node: Node, **surroundings) -> dict[str, Check]:
    checks = preflight(node.endpoint, DEPLOYMENT, LENS, None, Surroundings(**surroundings))
    assert len({check.name for check in checks}) == len(checks)
    assert not any("\n" in check.detail or "s3cret" in check.detail for check in checks)
    return {check.name: check for check in checks}


def test_what_is_not_given_is_not_looked_at(node):
    assert list(look(node)) == ["node", "chain", "vault code", "admin code", "oracle code", "executor code"]


# The clock


@pytest.mark.parametrize(("head", "exit_code"), [(NOW + 15, 0), (NOW + 16, 2), (NOW - 90, 0), (NOW - 91, 1)])
def test_the_clock_must_agree_with_the_head(node, head, exit_code):
    node.head = head
    assert look(node, clock=lambda: NOW)["clock"].exit_code == exit_code


def test_a_slow_clock_comes_with_what_to_do(node):
    node.head = NOW + 3_600
    detail = look(node, clock=lambda: NOW)["clock"].detail
    assert "clock is at least 3600 s slow" in detail
    assert "`timedatectl set-ntp true`" in detail


@pytest.mark.parametrize("head", [NOW + 3_600, NOW - 3_600])
def test_a_development_node_keeps_a_time_of_its_own(node, head):
    node.client, node.head = "anvil/v1", head
    assert look(node, clock=lambda: NOW)["clock"].ok


# Several endpoints


def names(*nodes: Node) -> list[str]:
    return [f"endpoint {node.endpoint.name}" for node in nodes]


def test_every_endpoint_is_looked_at_by_itself(node, start):
    others = [start(), start(), start()]
    others[1].chain = 10
    others[2].hash = "0x" + "cd" * 32
    found = look(node, endpoints=[other.endpoint for other in others])
    good, other_id, other_chain = (found[name] for name in names(*others))
    assert good.ok
    assert "follows chain 10" in other_id.detail
    assert "this is another chain with the same id" in other_chain.detail


def test_an_endpoint_that_does_not_answer_is_named_without_its_credentials(node):
    dead = Endpoint("http://u:s3cret@127.0.0.1:9/s3cret")
    found = look(node, endpoints=[node.endpoint, dead])
    assert found["endpoint http://127.0.0.1:9"].exit_code == 1
    assert found[names(node)[0]].ok


@pytest.mark.parametrize(("lag", "ok"), [(60, True), (61, False)])
def test_an_endpoint_that_is_behind_the_others_is_found(node, start, lag, ok):
    slow = start()
    slow.head = NOW - lag
    found = look(node, endpoints=[slow.endpoint, node.endpoint])
    assert found[names(slow)[0]].ok == ok
    assert found[names(node)[0]].ok


def test_every_endpoint_is_looked_at_although_the_first_is_dead(start):
    other = start()
    checks = preflight(Endpoint("http://127.0.0.1:9"), DEPLOYMENT, LENS, None, Surroundings(endpoints=[other.endpoint]))
    assert [(check.name, check.ok) for check in checks] == [(names(other)[0], True), ("node", False)]


# Files


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o700])
def test_a_file_that_only_its_owner_may_change_and_its_group_read_is_in_order(node, file, mode):
    file.chmod(mode)
    assert look(node, files=[file])["permissions of my keeper.yaml"].ok


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o620, 0o644, 0o666])
def test_a_file_that_others_may_read_or_write_comes_with_the_line_to_run(node, file, mode):
    file.chmod(mode)
    found = look(node, files=[file])["permissions of my keeper.yaml"]
    assert found.exit_code == 2
    assert f"`chmod g-w,o-rwx '{file}'`" in found.detail


def test_a_file_that_others_could_replace_comes_with_the_line_to_run(node, file):
    file.parent.chmod(0o777)
    found = look(node, files=[file])["permissions of my keeper.yaml"]
    assert found.exit_code == 2
    assert f"`chmod o-w {file.parent}`" in found.detail


def test_a_folder_for_all_in_which_each_keeps_his_own_is_in_order(node, file):
    file.parent.chmod(0o1777)
    assert look(node, files=[file])["permissions of my keeper.yaml"].ok


def test_a_file_that_is_missing_is_named(node, tmp_path):
    found = look(node, files=[tmp_path / "gone.json"])["permissions of gone.json"]
    assert found.exit_code == 2
    assert "gone.json: No such file" in found.detail


# The database


def test_a_database_says_where_it_is(node):
    assert look(node, database=lambda: "sqlite, 3 intents")["database"] == Check("database", "sqlite, 3 intents")


def test_a_database_that_cannot_be_reached_is_bad_configuration(node):
    def connect() -> str:
        raise InputError("no database at db.example: connection refused")

    found = look(node, database=connect)["database"]
    assert (found.exit_code, found.detail) == (2, "no database at db.example: connection refused")
