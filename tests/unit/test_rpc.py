"""The endpoint against a real HTTP server that misbehaves in every way a node or a proxy can."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from keeper.chain.errors import NodeError, RpcError, UnansweredError, WrongChainError
from keeper.chain.rpc import Endpoint, block_tag, seconds_until, secrets_of


class Server(HTTPServer):
    """Answers each method from `answers`: a JSON-RPC reply without its id, raw bytes, or an HTTP status."""

    answers: dict[str, object]
    headers: dict[str, str]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if isinstance(request, list):
            self.batch(request)
            return
        answer = self.server.answers.get(request["method"], {"error": {"code": -32601, "message": "Method not found"}})
        self.send_response(answer if isinstance(answer, int) else 200)
        for header in self.server.headers.items():
            self.send_header(*header)
        self.end_headers()
        if isinstance(answer, bytes):
            self.wfile.write(answer)
        elif not isinstance(answer, int):
            self.wfile.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer}).encode())

    def batch(self, requests: list[dict[str, object]]) -> None:
        """Answers backwards, as a node may, unless it has an answer of its own to all batches."""
        replies = [{"jsonrpc": "2.0", "id": one["id"], **self.server.answers[one["method"]]} for one in requests]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.answers.get("batch", json.dumps(replies[::-1]).encode()))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def node():
    with Server(("127.0.0.1", 0), Handler) as server:
        server.answers, server.headers = {}, {}
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def endpoint(node):
    return Endpoint(f"http://user:s3cret@127.0.0.1:{node.server_port}/v2/s3cret?key=s3cret")


def failure(endpoint: Endpoint, method: str) -> str:
    with pytest.raises(RpcError) as caught:
        endpoint.request(method)
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
    return str(caught.value)


def test_a_result_is_handed_over(node, endpoint):
    node.answers["eth_chainId"] = {"result": "0x1"}
    assert endpoint.quantity("eth_chainId") == 1


def test_an_endpoint_is_named_without_its_credentials(endpoint, node):
    assert endpoint.name == f"http://127.0.0.1:{node.server_port}"
    assert "s3cret" not in repr(endpoint)


def test_an_unreachable_node_is_one_line():
    # Port 9 discards, where anything listens at all.
    assert failure(Endpoint("http://127.0.0.1:9/s3cret"), "eth_chainId") == (
        "cannot reach the node at http://127.0.0.1:9: no connection"
    )


def test_an_http_error_is_one_line(node, endpoint):
    node.answers["eth_chainId"] = 429
    assert "HTTP status 429" in failure(endpoint, "eth_chainId")


@pytest.mark.parametrize("page", [b"<html>502</html>", b"", b"\xff\xfe", b"[]", b"3", b"null"])
def test_what_is_no_json_rpc_is_one_line(node, endpoint, page):
    node.answers["eth_chainId"] = page
    assert "does not speak JSON-RPC" in failure(endpoint, "eth_chainId")


def test_a_reply_with_neither_result_nor_error_is_refused(node, endpoint):
    node.answers["eth_chainId"] = {}
    assert "neither a result nor an error" in failure(endpoint, "eth_chainId")


@pytest.mark.parametrize("result", [None, "one", 1, {}])
def test_a_quantity_that_is_none_is_refused(node, endpoint, result):
    node.answers["eth_chainId"] = {"result": result}
    with pytest.raises(RpcError, match="no number"):
        endpoint.quantity("eth_chainId")


def test_an_error_keeps_its_code_and_loses_its_control_characters(node, endpoint):
    node.answers["eth_call"] = {"error": {"code": 3, "message": "execution reverted: \x00\x1b[31m\n" + "x" * 999}}
    with pytest.raises(NodeError) as caught:
        endpoint.request("eth_call")
    assert caught.value.code == 3
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "data",
    ["0x1234", "Reverted 0x1234", {"data": "0x1234"}],
    ids=["geth, erigon, anvil", "nethermind", "hardhat"],
)
def test_revert_data_is_found_wherever_a_node_puts_it(node, endpoint, data):
    node.answers["eth_call"] = {"error": {"code": 3, "message": "reverted", "data": data}}
    with pytest.raises(NodeError) as caught:
        endpoint.request("eth_call")
    assert caught.value.data == b"\x12\x34"


@pytest.mark.parametrize("data", [None, "execution reverted", {}, 5, "0xzz"])
def test_an_error_without_revert_data_has_none(node, endpoint, data):
    node.answers["eth_call"] = {"error": {"code": 3, "message": "reverted", "data": data}}
    with pytest.raises(NodeError) as caught:
        endpoint.request("eth_call")
    assert caught.value.data is None


BATCH = [("eth_chainId", ()), ("eth_call", ({}, "latest")), ("eth_gasPrice", ())]
RESULTS = {"eth_chainId": {"result": "0x1"}, "eth_call": {"result": "0x02"}, "eth_gasPrice": {"result": "0x3"}}
REVERT = {"error": {"code": 3, "message": "execution reverted", "data": "0x1234"}}


def test_a_batch_has_its_results_in_the_order_of_its_requests(node, endpoint):
    node.answers |= RESULTS
    assert endpoint.batch(BATCH) == ["0x1", "0x02", "0x3"]


def test_a_revert_in_a_batch_is_a_result(node, endpoint):
    node.answers |= RESULTS | {"eth_call": REVERT}
    chain, revert, price = endpoint.batch(BATCH)
    assert (chain, revert.data, price) == ("0x1", b"\x12\x34", "0x3")


def test_another_error_in_a_batch_is_one_of_the_batch(node, endpoint):
    node.answers |= RESULTS | {"eth_call": {"error": {"code": -32000, "message": "header not found"}}}
    with pytest.raises(NodeError, match="refused eth_call: header not found"):
        endpoint.batch(BATCH)


def test_a_rate_limit_in_a_batch_is_one_of_the_batch(node, endpoint):
    node.answers |= RESULTS | {"eth_call": {"error": {"code": -32005, "message": "slow down"}}}
    with pytest.raises(UnansweredError) as caught:
        endpoint.batch(BATCH)
    assert caught.value.kind == "rate_limit"


@pytest.mark.parametrize("page", [b"<html>", b"[]", b"{}", b"3", b"[3, 4, 5]", b'[{"id": 1, "result": "0x1"}]'])
def test_what_is_no_answer_to_a_batch_is_garbage(node, endpoint, page):
    node.answers |= RESULTS | {"batch": page}
    with pytest.raises(UnansweredError) as caught:
        endpoint.batch(BATCH)
    assert caught.value.kind == "garbage"


def test_a_node_that_takes_no_batches_is_quoted(node, endpoint):
    node.answers |= RESULTS | {"batch": b'{"id": null, "error": {"code": -32600, "message": "batches are off"}}'}
    with pytest.raises(NodeError, match="refused a batch: batches are off"):
        endpoint.batch(BATCH)


def test_another_chain_is_told(node, endpoint):
    node.answers["eth_chainId"] = {"result": "0xa"}
    with pytest.raises(WrongChainError, match="follows chain 10, but the configuration says chain_id 1"):
        endpoint.check_chain_id(1)


@pytest.mark.parametrize("version", ["anvil/v1.7.1", "HardhatNetwork/2.22", "Ganache/v7"])
def test_a_development_node_is_known_by_its_version(node, endpoint, version):
    node.answers["web3_clientVersion"] = {"result": version}
    assert endpoint.is_development_node()


def test_a_development_node_behind_a_proxy_is_known_by_what_it_answers(node, endpoint):
    node.answers["web3_clientVersion"] = {"result": "gateway/1.0"}
    node.answers["anvil_nodeInfo"] = {"result": {}}
    assert endpoint.is_development_node()


def test_geth_is_no_development_node(node, endpoint):
    node.answers["web3_clientVersion"] = {"result": "Geth/v1.15.0"}
    assert not endpoint.is_development_node()


def test_a_node_that_does_not_say_is_not_taken_for_a_real_one(node, endpoint):
    node.answers["web3_clientVersion"] = {"result": "gateway/1.0"}
    node.answers["anvil_nodeInfo"] = 500
    with pytest.raises(RpcError):
        endpoint.is_development_node()


def test_a_block_that_does_not_exist_is_named(node, endpoint):
    node.answers["eth_getBlockByNumber"] = {"result": None}
    with pytest.raises(RpcError, match="has no block 7"):
        endpoint.header(7)


def test_a_block_without_a_base_fee_is_refused(node, endpoint):
    node.answers["eth_getBlockByNumber"] = {"result": {"number": "0x1", "hash": "0x", "timestamp": "0x1"}}
    with pytest.raises(RpcError, match="EIP-1559"):
        endpoint.header()


def test_a_block_is_asked_for_by_a_hash_that_must_be_canonical():
    assert block_tag("0xab") == {"blockHash": "0xab", "requireCanonical": True}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (429, "rate_limit"),
        (503, "http"),
        (401, "http"),
        (b"<html>", "garbage"),
        ({"result": "one"}, "garbage"),
        ({"error": {"code": -32005, "message": "limit exceeded"}}, "rate_limit"),
        ({"error": {"code": 429, "message": "compute units"}}, "rate_limit"),
    ],
)
def test_what_keeps_an_answer_away_is_told_apart(node, endpoint, answer, kind):
    node.answers["eth_chainId"] = answer
    with pytest.raises(UnansweredError) as caught:
        endpoint.quantity("eth_chainId")
    assert caught.value.kind == kind


def test_no_connection_is_told_apart():
    with pytest.raises(UnansweredError) as caught:
        Endpoint("http://127.0.0.1:9").request("eth_chainId")
    assert caught.value.kind == "connection"


def test_a_search_of_logs_over_too_many_blocks_is_no_rate_limit(node, endpoint):
    node.answers["eth_getLogs"] = {"error": {"code": -32005, "message": "more than 10000 results"}}
    with pytest.raises(NodeError, match="10000 results"):
        endpoint.request("eth_getLogs")


def test_a_node_that_quotes_the_credential_is_redacted(node):
    key = "0123456789abcdef"
    node.answers["eth_chainId"] = {"error": {"code": -32000, "message": "x" * 195 + f" bad project {key}"}}
    node.answers["eth_call"] = {"error": f"bad project {key}"}
    endpoint = Endpoint(f"http://127.0.0.1:{node.server_port}/v3/{key}")
    for method in ("eth_chainId", "eth_call"):
        with pytest.raises(NodeError) as caught:
            endpoint.request(method)
        assert key[:4] not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://us%2Fer:pass@host",
        "https://host/v3/0123456789abcdef",
        "https://host/rpc?mode=fast&key=0123456789abcdef",
    ],
)
def test_the_credentials_of_a_url_are_known(url):
    assert not {"us/er", "pass", "0123456789abcdef"}.isdisjoint(secrets_of(url))
    assert not {"v3", "rpc", "fast", "host"}.intersection(secrets_of(url))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("Thu, 09 Oct 2025 08:53:30 GMT", 10.0),
        ("Thu, 09 Oct 2025 08:53:00 GMT", 0.0),
        (None, None),
        ("soon", None),
        ("-1", None),
        ("²", None),
    ],
)
def test_retry_after_is_read_in_both_forms(header, seconds):
    assert seconds_until(header, 1_760_000_000.0) == seconds


def test_how_long_a_server_asks_to_be_left_alone_is_handed_over(node, endpoint):
    node.headers["Retry-After"] = "7"
    node.answers["eth_chainId"] = 429
    with pytest.raises(UnansweredError) as caught:
        endpoint.request("eth_chainId")
    assert caught.value.retry_after == 7
