"""The anvil process."""

from __future__ import annotations

import atexit
import re
import shutil
import subprocess
from collections import deque
from pathlib import Path
from threading import Thread

from keeper.chain.artifacts import ROOT
from keeper.devnet.tables import BASE_FEE, CHAIN_ID, GENESIS_TIME
from keeper.domain.errors import InputError

HARDFORK = "prague"
GAS_LIMIT = 45_000_000
"""Per block, as on mainnet in the summer of 2025."""


class Anvil:
    """An empty development chain. It dies with `close`, and with this Python process at the latest."""

    def __init__(self, port: int = 0) -> None:
        """Starts anvil on `port`, or on a free one for 0, and returns when it listens.

        Raises `InputError` if there is no anvil or if it cannot listen on that port.
        """
        arguments = {
            "port": port,
            "chain-id": CHAIN_ID,
            "hardfork": HARDFORK,
            "timestamp": GENESIS_TIME,
            "block-base-fee-per-gas": BASE_FEE,
            "gas-limit": GAS_LIMIT,
        }
        self._process = subprocess.Popen(  # noqa: S603 - our own binary, our own numbers
            # A dumped state is larger than the two megabytes that a request may have.
            [binary(), "--no-request-size-limit", *(f"--{name}={value}" for name, value in arguments.items())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Ctrl-C in a terminal goes to the whole foreground group; the node must outlive it to be dumped.
            start_new_session=True,
        )
        atexit.register(self.close)
        self.url = self._wait_until_it_listens(port)
        # Anvil logs every request; a pipe that nobody empties would stop it.
        self._drain = Thread(target=deque, args=(self._process.stdout, 0), daemon=True)
        self._drain.start()

    def _wait_until_it_listens(self, port: int) -> str:
        last = "it said nothing"
        for line in self._process.stdout or ():
            if found := re.match(r"Listening on (\S+)", line):
                return f"http://{found[1]}"
            last = line.strip() or last
        self.close()
        raise InputError(f"anvil did not start on port {port}: {last}")

    def wait(self) -> None:
        """Returns when the process has ended by itself."""
        self._process.wait()

    def close(self) -> None:
        """Ends the process. Safe to call twice."""
        atexit.unregister(self.close)
        self._process.kill()
        self._process.wait()
        if hasattr(self, "_drain"):
            self._drain.join()
        if self._process.stdout:
            self._process.stdout.close()


def binary() -> Path:
    """The native anvil from the locked npm packages, else one on the PATH; raises `InputError` without either."""
    # Not node_modules/.bin/anvil: that is a script that starts the binary and does not always take it down with it.
    for path in (ROOT / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil*"):
        return path
    if found := shutil.which("anvil"):
        return Path(found)
    raise InputError("anvil is not installed: run `make setup`")
