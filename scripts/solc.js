// The npm compiler behind the command line that ape and forge expect of a native solc:
// `--version` and `--standard-json`. `make setup` links it as `.ballast/solc/solc-v<version>`.
"use strict";
const fs = require("fs");
const solc = require("solc");

const args = process.argv.slice(2);
if (args.includes("--version")) {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`);
} else if (args.includes("--standard-json")) {
  // Callers inline every source, so no import callback is needed: a missing one is the caller's error.
  process.stdout.write(solc.compile(fs.readFileSync(0, "utf8")));
} else {
  console.error("solc.js understands --version and --standard-json only; set SOLCX_BINARY_PATH to use a native solc");
  process.exitCode = 2;
}
