// Uniswap's smart-order-router on static pools. One JSON document on stdin, one on stdout; the caller is orders.py.
//
// The package's own code lists the routes (V2, V3 and mixed, at most 3 hops) and finds the best combination of them on
// its 5% grid, at most 7 splits. What it would ask a chain for is answered here: quotes come from Uniswap's own SDKs,
// exact to the wei, and gas from the table that the benchmark uses. Nothing is left out beforehand: all pools are
// candidates, where the deployed service keeps only a few of each sort.
"use strict";

const { BigNumber } = require("@ethersproject/bignumber");
const { Protocol } = require("@uniswap/router-sdk");
const { ChainId, CurrencyAmount: Amount, Percent, Token, TradeType } = require("@uniswap/sdk-core");
const { Pair } = require("@uniswap/v2-sdk");
const { Pool, TickListDataProvider } = require("@uniswap/v3-sdk");
const router = "@uniswap/smart-order-router/build/main/routers/alpha-router";
const { DEFAULT_ROUTING_CONFIG_BY_CHAIN } = require(`${router}/config`);
const { getBestSwapRoute } = require(`${router}/functions/best-swap-route`);
const routes = require(`${router}/functions/compute-all-routes`);
const quoted = require(`${router}/entities/route-with-valid-quote`);
const { usdGasTokensByChain } = require(`${router}/gas-models`);
const { CurrencyAmount } = require("@uniswap/smart-order-router");

const CHAIN = ChainId.MAINNET;
const CONFIG = DEFAULT_ROUTING_CONFIG_BY_CHAIN(CHAIN);
const UNSPLIT = { getRouteWithQuotePortionAdjusted: (_type, found) => found };

function market({ tokens, pools }) {
  const token = new Map(tokens.map((t) => [t.address, new Token(CHAIN, t.address, t.decimals)]));
  const pairs = [];
  const concentrated = [];
  const name = new Map();
  for (const pool of pools) {
    const [a, b] = [token.get(pool.token0), token.get(pool.token1)];
    let made;
    if (pool.kind === "uniswap_v2") {
      made = new Pair(Amount.fromRawAmount(a, pool.reserve0), Amount.fromRawAmount(b, pool.reserve1));
      pairs.push(made);
    } else {
      const ticks = pool.ticks.map((t) => ({
        index: t.index,
        liquidityGross: t.liquidity_net.replace("-", ""),
        liquidityNet: t.liquidity_net,
      }));
      const provider = new TickListDataProvider(ticks, pool.tick_spacing);
      made = new Pool(a, b, pool.fee_pips, pool.sqrt_price_x96, pool.liquidity, pool.tick, provider);
      concentrated.push(made);
    }
    name.set(identity(made.token0, made.token1, made.fee), pool.address);
  }
  return { token, pairs, concentrated, name };
}

const identity = (a, b, fee) => `${a.address} ${b.address} ${fee ?? ""}`;

async function quote(cache, pools, amount) {
  for (const pool of pools) {
    const key = `${identity(pool.token0, pool.token1, pool.fee)} ${amount.currency.address} ${amount.quotient}`;
    let out = cache.get(key);
    if (out === undefined) {
      // A pool that cannot take the amount says so by an error.
      out = await Promise.resolve()
        .then(() => pool.getOutputAmount(amount))
        .then(([paid]) => (paid.greaterThan(0) ? paid : null))
        .catch(() => null);
      cache.set(key, out);
    }
    if (out === null) return null;
    amount = out;
  }
  return amount;
}

async function solve({ token, pairs, concentrated, name }, order) {
  const started = process.cpuUsage();
  const tokenIn = token.get(order.token_in);
  const quoteToken = token.get(order.token_out);
  const total = CurrencyAmount.fromRawAmount(tokenIn, order.amount);
  const hops = CONFIG.maxSwapsPerPath;
  const nameOf = { getPoolAddress: (a, b, fee) => ({ poolAddress: name.get(identity(a, b, fee)) }) };
  const gasModel = {
    estimateGasCost: ({ route }) => ({
      gasEstimate: BigNumber.from(0),
      gasCostInUSD: CurrencyAmount.fromRawAmount(usdGasTokensByChain[CHAIN][0], 0),
      gasCostInToken: CurrencyAmount.fromRawAmount(
        quoteToken,
        (route.pairs ?? route.pools)
          .reduce((sum, pool) => sum + BigInt(order.hop_cost[pool instanceof Pair ? "uniswap_v2" : "uniswap_v3"]), 0n)
          .toString(),
      ),
    }),
  };
  const all = [
    ...routes.computeAllV2Routes(tokenIn, quoteToken, pairs, hops).map((r) => [Protocol.V2, r, r.pairs]),
    ...routes.computeAllV3Routes(tokenIn, quoteToken, concentrated, hops).map((r) => [Protocol.V3, r, r.pools]),
    ...routes
      .computeAllMixedRoutes(tokenIn, quoteToken, [...concentrated, ...pairs], hops)
      .map((r) => [Protocol.MIXED, r, r.pools]),
  ];
  const percents = [];
  for (let percent = CONFIG.distributionPercent; percent <= 100; percent += CONFIG.distributionPercent) {
    percents.push(percent);
  }
  const valid = [];
  const cache = new Map();
  for (const [protocol, route, pools] of all) {
    for (const percent of percents) {
      const amount = total.multiply(new Percent(percent, 100));
      const whole = CurrencyAmount.fromRawAmount(tokenIn, amount.quotient);
      const out = whole.greaterThan(0) ? await quote(cache, pools, whole) : null;
      if (out === null) continue;
      const common = {
        amount: whole,
        rawQuote: out.quotient,
        percent,
        route,
        quoteToken,
        tradeType: TradeType.EXACT_INPUT,
        gasModel,
        mixedRouteGasModel: gasModel,
        quoterGasEstimate: 0,
        sqrtPriceX96AfterList: [],
        initializedTicksCrossedList: [],
        v2PoolProvider: nameOf,
        v3PoolProvider: nameOf,
      };
      valid.push(
        protocol === Protocol.V2
          ? new quoted.V2RouteWithValidQuote(common)
          : protocol === Protocol.V3
            ? new quoted.V3RouteWithValidQuote(common)
            : new quoted.MixedRouteWithValidQuote(common),
      );
    }
  }
  const searching = process.cpuUsage();
  const best = await getBestSwapRoute(total, percents, valid, TradeType.EXACT_INPUT, CHAIN, CONFIG, UNSPLIT);
  const searched = process.cpuUsage(searching);
  const whole = process.cpuUsage(started);
  return {
    routes_tried: all.length,
    search_ms: (searched.user + searched.system) / 1000,
    total_ms: (whole.user + whole.system) / 1000,
    routes: best.routes.map((r) => ({
      amount: r.amount.quotient.toString(),
      quote: r.quote.quotient.toString(),
      pools: r.poolIdentifiers,
    })),
  };
}

async function main() {
  const text = require("node:fs").readFileSync(0, "utf8");
  const answers = [];
  for (const given of JSON.parse(text)) {
    const known = market(given);
    if (answers.length === 0) await solve(known, given.orders[0]); // warm: compiled before anything is timed
    const found = [];
    for (const order of given.orders) found.push(await solve(known, order));
    answers.push(found);
  }
  process.stdout.write(JSON.stringify(answers));
}

main();
