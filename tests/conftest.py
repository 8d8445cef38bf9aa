"""The chain under the tests, in both ways to run them.

`pytest` runs everything but tests/fork, on one embedded offline mainnet that takes itself back after each test.
`ape test --network ethereum:mainnet-fork:foundry` runs tests/fork only, on Ape's fork of the real chain at
MAINNET_RPC_URL, or else of an offline mainnet started here.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import postgres as postgres_server
import pytest
from hypothesis import settings
from place import KEEPER, Place, set_up

from keeper.cli import main
from keeper.devnet import Devnet, fixtures
from keeper.devnet.faults import FaultProxy
from keeper.devnet.node import binary

# How long an example takes is the machine's affair, not the test's.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

FORK_TESTS = Path(__file__).parent / "fork"

fault_proxy = fixtures.fault_proxy

upstream = pytest.StashKey[Devnet]()


def runs_under_ape(config: pytest.Config) -> bool:
    return bool(config.getoption("--network", default=None))


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if not runs_under_ape(config):
        # Ape's plugin comes with every pytest here. Unasked, it would connect to a chain of its own for each run and
        # wrap each test in that chain's snapshots.
        for plugin in ("ape-test", "ape-fixtures"):
            config.pluginmanager.unregister(name=plugin)
        return
    # Ape looks for anvil on the PATH and for its upstream node in this variable.
    os.environ["PATH"] = os.pathsep.join((str(binary().parent), os.environ["PATH"]))
    if "MAINNET_RPC_URL" not in os.environ:
        config.stash[upstream] = Devnet.start()
    os.environ["WEB3_PROVIDER_URI"] = os.environ.get("MAINNET_RPC_URL") or config.stash[upstream].url


def pytest_unconfigure(config: pytest.Config) -> None:
    if devnet := config.stash.get(upstream, None):
        devnet.close()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    in_fork = FORK_TESTS in (collection_path, *collection_path.parents)
    is_test = collection_path.is_file() and collection_path.name.startswith("test_")
    if is_test and in_fork != runs_under_ape(config):
        return True
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    without_mainnet = pytest.mark.skip(reason="needs MAINNET_RPC_URL, a real Ethereum node")
    for item in items:
        if "devnet" in getattr(item, "fixturenames", ()):
            item.add_marker("chain")
        if item.get_closest_marker("mainnet") and "MAINNET_RPC_URL" not in os.environ:
            item.add_marker(without_mainnet)


@pytest.fixture(scope="session")
def devnet() -> Iterator[Devnet]:
    """The offline mainnet, shared by all tests; what a test does to it is taken back after the test."""
    with Devnet.start() as node:
        yield node


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_server.NewDatabase]:
    """A Postgres for all tests; called, it makes an empty database."""
    if not postgres_server.available():
        pytest.skip(postgres_server.MISSING)
    with postgres_server.server() as new_database:
        yield new_database


@pytest.fixture(params=["sqlite", "postgres"])
def journal_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty journal may be: every test that asks for it runs on both databases."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'journal.sqlite'}"
    url: str = request.getfixturevalue("postgres")().render_as_string(hide_password=False)
    return url


@pytest.fixture(autouse=True)
def _isolation(request: pytest.FixtureRequest) -> Iterator[None]:
    # Function-scoped fixtures come after this one and are taken back too; what wider ones do to the chain stays.
    if "devnet" in request.fixturenames and not runs_under_ape(request.config):
        with request.getfixturevalue("devnet").isolated():
            yield
    else:
        yield


@pytest.fixture
def place(devnet: Devnet, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Place:
    """A vault that is off its weights, and the command `keeper` beside it."""
    monkeypatch.setenv("KEEPER_KEY", KEEPER.private_key)

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            main([*map(str, arguments), "--config", str(tmp_path / "ballast.yaml")])
        return int(exited.value.code or 0), *capsys.readouterr()

    return set_up(devnet, tmp_path, run)


@pytest.fixture
def manual_mining(devnet: Devnet) -> Iterator[None]:
    """Blocks only when asked for."""
    devnet.rpc("evm_setAutomine", False)
    yield
    # Taking the chain back does not empty the pool, and a later test would find this one's transaction mined.
    devnet.rpc("anvil_dropAllTransactions")
    devnet.rpc("evm_setAutomine", True)


@pytest.fixture
def faulty(devnet: Devnet, fault_proxy: fixtures.NewFaultProxy) -> Callable[..., FaultProxy]:
    """Starts proxies in front of the devnet that misbehave on request; see `keeper.devnet.faults`."""
    return partial(fault_proxy, devnet.url)
