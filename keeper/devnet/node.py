"""The anvil process."""

from __future__ import annotations

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

# A node that outlives whoever started it would hold its port for ever, and a process that is killed cannot clean up.
# So the node is tied to a pipe: when its other end closes, for whatever reason, the node is killed. It keeps old states
# on disk, half a gigabyte in a day of tests, and leaves them there: that folder goes with it.
_TETHER = """
exec 3<&0
states=$(mktemp -d) || exit 1
"$@" --cache-path "$states" </dev/null 3<&- &
node=$!
(read -r _ <&3; kill -9 $node) >/dev/null 2>&1 &
wait $node
kill $! 2>/dev/null
rm -rf "$states"
"""


class Anvil:
    """An empty development chain. It ends with `close`, and with this Python process at the latest."""

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
            # Final after two blocks, not after sixty-four: what waits for finality can be shown in a few steps.
            "slots-in-an-epoch": 1,
        }
        # A dumped state is larger than the two megabytes that a request may have.
        command = [
            str(binary()),
            "--no-request-size-limit",
            *(f"--{name}={value}" for name, value in arguments.items()),
        ]
        self._process = subprocess.Popen(  # noqa: S603 - our own binary, our own numbers
            ["/bin/sh", "-c", _TETHER, "sh", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Ctrl-C in a terminal goes to the whole foreground group; the node must outlive it to be dumped.
            start_new_session=True,
        )
        # Anvil logs every request; a pipe that nobody empties would stop it.
        self._drain = Thread(target=deque, args=(self._process.stdout, 0), daemon=True)
        self.url = self._wait_until_it_listens(port)

    def _wait_until_it_listens(self, port: int) -> str:
        last = "it said nothing"
        for line in self._process.stdout or ():
            if found := re.match(r"Listening on (\S+)", line):
                self._drain.start()
                return f"http://{found[1]}"
            last = line.strip() or last
        self._drain.start()
        self.close()
        raise InputError(f"anvil did not start on port {port}: {last}")

    def wait(self) -> None:
        """Returns when the process has ended by itself."""
        self._process.wait()

    def close(self) -> None:
        """Ends the process. Safe to call twice."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()
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
