// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

import {IndexVault} from "../../../contracts/IndexVault.sol";
import {AuctionTerms, Fees, Limits, VaultConfig} from "../../../contracts/interfaces/IIndexVault.sol";
import {IVaultChanges} from "../../../contracts/interfaces/IVaultAdmin.sol";
import {Buy, Order, OrderLib, Sell} from "../../../contracts/libraries/OrderLib.sol";
import {HostileToken} from "../utils/HostileTokens.sol";
import {Call} from "../utils/ScriptedExecutor.sol";
import {TestToken} from "../utils/Tokens.sol";
import {Campaign, Puppet} from "./Campaign.sol";

/// @notice A stolen key at work: the keeper of two vaults, who also owns their one executor and the market, chooses every
///         outcome, the timing and the price error, and nests one vault's batch in the other's; fillers do the same by
///         auction. Meanwhile others mint, redeem, claim and donate, a token misbehaves, and the curator changes targets
///         and limits.
contract KeeperHandler is Campaign {
    using FixedPointMathLib for uint256;

    uint256 public shareMoves;
    uint256 public claimsMade;
    uint256 public claimsPaid;
    uint256 public nested;
    uint256 public changes;

    Puppet internal _keeper = new Puppet();
    Puppet internal _filler = new Puppet();
    Puppet internal _curator = new Puppet();
    IndexVault internal _other;
    HostileToken internal _moody;
    uint256[] internal _startPrices;
    bytes[] internal _pending;

    /// @dev What the keeper means to do: values to sell and to buy, in WAD, by asset.
    struct Plan {
        uint256[] sold;
        uint256[] bought;
        uint256 sum;
    }

    function setUp() public override {
        super.setUp();
        _moody = new HostileToken();
        tokens[LINK] = address(_moody);
        oracle = _oracle();
        (keeper, curator) = (address(_keeper), address(_curator));
        VaultConfig memory c = _offTarget(DAI, LINK);
        c.limits = Limits({
            maxSlippage: 0.02e18,
            maxBatchLoss: 0.0003e18,
            lossBudget: 0.0008e18,
            turnoverBudget: 0.5e18,
            deadBand: 0.001e18,
            minProgress: 0.0001e18,
            dust: 0.0001e18,
            window: 30 days,
            cooldown: 60
        });
        c.auction =
            AuctionTerms({openBand: 0.01e18, premium: 0.01e18, minFill: 0.1e18, keeperGrace: 1 hours, length: 1 hours});
        c.fees = Fees({streaming: 0.02e18, mint: 0.005e18, redeem: 0.003e18});
        _startPrices = prices;

        _other = _deploy(c);
        _vaults = [_deploy(c), _other];
        _watch(vault);
        _watch(_other);
        _people = [holder, stranger, feeRecipient, DEAD, address(_keeper)];
        _spenders = [address(market), address(_filler), address(vault), address(_other), address(_moody)];
    }

    /* ------------------------------------------------ THE KEEPER ------------------------------------------------ */

    /// @notice A batch towards the targets that costs as much as the vault allows, or less, or slightly too much; now and
    ///         then timed for the second in which the loss budget has just enough room, or not yet.
    function drain(uint256 seed) external {
        IndexVault v = _pick(seed);
        Plan memory plan = _towardsTargets(v, seed);
        uint256 nav = v.nav();
        (uint256 headroom,) = v.headroom();
        Limits memory l = _limitsOf[v];
        uint256 most = _min(plan.sum.mulWad(l.maxSlippage), nav.mulWad(l.maxBatchLoss));
        if (_draw(seed, 3) % 4 == 0 && most > nav.mulWad(headroom) && l.lossBudget != 0) {
            uint256 wait_ = (most.divWadUp(nav) - headroom).fullMulDivUp(l.window, l.lossBudget);
            if (_draw(seed, 4) % 4 == 0) --wait_;
            _wait(wait_);
            plan = _towardsTargets(v, seed);
            (headroom,) = v.headroom();
        }
        most = _min(_min(most, plan.sum.mulWad(l.maxSlippage)), nav.mulWad(headroom));
        uint256 choice = _draw(seed, 1) % 4;
        _take(plan, choice == 0 ? most : choice == 1 ? most + most / 1000 : _draw(seed, 2) % (most + 1));
        _send(v, plan, seed, false);
    }

    /// @notice As little as the vault lets pass, at the worst price: one drop of many.
    function drip(uint256 seed) external {
        IndexVault v = _pick(seed);
        Plan memory plan = _towardsTargets(v, seed);
        if (plan.sum == 0) return;
        Limits memory l = _limitsOf[v];
        // Half of the progress is made by each leg.
        _scale(plan, v.nav().mulWad(l.minProgress).mulWad(WAD + _draw(seed, 2) % WAD).divWad(2 * plan.sum));
        _take(plan, plan.sum.mulWad(l.maxSlippage));
        _send(v, plan, seed, false);
    }

    /// @notice A batch that gives the vault more than it takes.
    function enrich(uint256 seed) external {
        IndexVault v = _pick(seed);
        Plan memory plan = _towardsTargets(v, seed);
        for (uint256 i; i < ASSETS; ++i) {
            plan.bought[i] += plan.bought[i].mulWad(_draw(seed, 3) % 0.01e18);
        }
        _send(v, plan, seed, false);
    }

    /// @notice A batch that trades too far in one asset, now and then past its target by about the dust allowance.
    function wash(uint256 seed) external {
        IndexVault v = _pick(seed);
        Plan memory plan = _towardsTargetsBy(v, WAD);
        uint256 nav = v.nav();
        uint256 away = nav.mulWad(_limitsOf[v].dust) * (80 + _draw(seed, 3) % 25) / 200;
        uint256 i = _draw(seed, 4) % ASSETS;
        if (plan.sold[i] == 0) plan.bought[i] += away;
        else plan.sold[i] += away;
        _take(plan, _min(away, nav.mulWad(_limitsOf[v].maxBatchLoss)));
        _send(v, plan, seed, false);
    }

    /// @notice Anything at all.
    function flail(uint256 seed) external {
        IndexVault v = _pick(seed);
        Plan memory plan = Plan(new uint256[](ASSETS), new uint256[](ASSETS), 0);
        uint256 nav = v.nav();
        for (uint256 i; i < ASSETS; ++i) {
            if (_draw(seed, 10 + i) % 3 == 0) plan.sold[i] = nav.mulWad(_draw(seed, 20 + i) % 0.1e18);
            if (_draw(seed, 30 + i) % 3 == 0) plan.bought[i] = nav.mulWad(_draw(seed, 40 + i) % 0.1e18);
        }
        _send(v, plan, seed, _draw(seed, 9) % 4 == 0);
    }

    /// @notice A filler waits until the keeper counts as silent, opens an auction, and fills at the price of the moment,
    ///         or slightly below it.
    function fill(uint256 seed) external {
        IndexVault v = _pick(seed);
        uint256 silentAt = v.calmAt() + _termsOf[v].keeperGrace;
        if (_draw(seed, 72) % 8 != 0) _waitUntil(silentAt);
        if (v.auctionOpenedAt() == 0 && !_filler.perform(address(v), abi.encodeCall(v.openAuction, ()))) return;
        _waitUntil(v.settledAt() + _limitsOf[v].cooldown);
        _wait(_draw(seed, 70) % _termsOf[v].length / (1 + _draw(seed, 73) % 4));
        Plan memory plan = _towardsTargets(v, seed);
        uint256 price = _auctionPrice(v);
        if (plan.sum == 0 || price > 2 * WAD) return;
        // A large fill at a low price would lose more than a batch may, or than the budget has left.
        (uint256 headroom,) = v.headroom();
        uint256 most = v.nav().mulWad(_min(headroom, _limitsOf[v].maxBatchLoss));
        if (_draw(seed, 74) % 4 != 0) price = _max(price, WAD - _min(WAD, most.divWad(plan.sum)));
        // Raw amounts round down, by far less than this.
        if (_draw(seed, 71) % 4 == 0) price -= 1e13;
        else price += 1e13;
        uint256 bought;
        for (uint256 i; i < ASSETS; ++i) {
            bought += plan.bought[i];
        }
        for (uint256 i; i < ASSETS; ++i) {
            if (bought != 0) plan.bought[i] = plan.bought[i].fullMulDivUp(plan.sum.mulWad(price), bought);
        }
        _send(v, plan, seed, true);
    }

    /// @notice Waits, mostly about as long as the vault cools down.
    function wait(uint256 seed) external {
        _wait(_draw(seed, 1) % (_draw(seed, 2) % 8 == 0 ? 2 days : 2 hours));
    }

    /// @notice Moves a price by up to a tenth, within a fifth and five times of where it began. In the middle of a route
    ///         as well.
    function movePrice(uint256 seed) public {
        uint256 i = _draw(seed, 1) % ASSETS;
        uint256 moved = prices[i] * (90 + _draw(seed, 2) % 21) / 100;
        uint256 grain = 10 ** (18 - feeds[i].decimals());
        _setPrice(i, moved.clamp(_startPrices[i] / 5, _startPrices[i] * 5) / grain * grain);
    }

    /* ----------------------------------------------- INSIDE A ROUTE ----------------------------------------------- */

    /// @notice Sends the other vault through the executor while the first is in the middle of its batch.
    function nest(uint256 seed) external {
        if (msg.sender != address(market)) return;
        Plan memory plan = _towardsTargets(_other, seed);
        _take(plan, plan.sum.mulWad(_draw(seed, 2) % 0.01e18));
        if (_attempt(_other, _keeper, false, _encoded(_other, plan, seed, false, new Call[](0)))) ++nested;
    }

    /// @notice Tries every door of a vault that is in the middle of its batch.
    function intrude(IndexVault v) external {
        uint256[] memory none = new uint256[](ASSETS);
        bytes[7] memory doors = [
            abi.encodeCall(v.mint, (1e9, address(_keeper), none, 0)),
            abi.encodeCall(v.redeem, (1, address(_keeper), address(_keeper), none, 0)),
            abi.encodeCall(v.claim, (address(_moody), address(_keeper), 0)),
            abi.encodeCall(v.accrueFees, ()),
            abi.encodeCall(v.openAuction, ()),
            abi.encodeCall(v.nav, ()),
            _pending.length == 0 ? bytes("") : abi.encodeCall(admin.accept, (_pending[0]))
        ];
        for (uint256 i; i < doors.length; ++i) {
            if (_keeper.perform(address(v), doors[i])) _break("a door stood open in the middle of a batch");
        }
    }

    /* -------------------------------------------------- OTHERS -------------------------------------------------- */

    function mint(uint256 seed) external {
        IndexVault v = _pick(seed);
        uint256 supply = v.totalSupply();
        uint256 shares = 1 + _draw(seed, 1) % (supply / (1 + _draw(seed, 2) % 1000));
        uint256[] memory before = _holdings(v);
        uint256[] memory due = v.previewMint(shares);
        supply -= v.balanceOf(feeRecipient);
        vm.startPrank(stranger);
        for (uint256 i; i < ASSETS; ++i) {
            TestToken(tokens[i]).mint(stranger, due[i]);
            TestToken(tokens[i]).approve(address(v), due[i]);
        }
        uint256[] memory paid = v.mint(shares, stranger, due, 0);
        vm.stopPrank();

        supply += v.balanceOf(feeRecipient);
        uint256 grossed = shares.fullMulDivUp(WAD + 0.005e18, WAD);
        for (uint256 i; i < ASSETS; ++i) {
            if (paid[i] != before[i].fullMulDivUp(grossed, supply)) _break("a mint did not take its part");
            if (_held(v, i) != before[i] + paid[i]) _break("a mint moved something else");
        }
        _checkNobodyDiluted(v, before, supply);
    }

    /// @notice Redeems while the moody token does what it likes; what it keeps back becomes a claim, to the wei.
    function redeem(uint256 seed) external {
        IndexVault v = _pick(seed);
        address account = _draw(seed, 1) % 2 == 0 ? holder : stranger;
        uint256 shares = v.balanceOf(account) / (1 + _draw(seed, 2) % 8);
        if (shares == 0) return;
        uint256 supply = v.totalSupply() - v.balanceOf(feeRecipient);
        uint256[] memory before = _holdings(v);
        uint256[2] memory owed = [v.reserved(tokens[LINK]), v.claimOf(tokens[LINK], account)];
        uint256[] memory owned = _purse(account);
        _turn(v, seed);
        vm.prank(account);
        uint256[] memory paid = v.redeem(shares, account, account, new uint256[](ASSETS), 0);
        _moody.turn(HostileToken.Kind.HEALTHY);
        if (_moody.entered()) _break("a token re-entered");

        supply += v.balanceOf(feeRecipient);
        uint256 net = shares.fullMulDiv(WAD - 0.003e18, WAD);
        for (uint256 i; i < ASSETS; ++i) {
            uint256 due = before[i].fullMulDiv(net, supply);
            uint256 claimed = i == LINK ? v.reserved(tokens[i]) - owed[0] : 0;
            if (i == LINK && v.claimOf(tokens[i], account) - owed[1] != claimed) _break("somebody else's claim");
            if (paid[i] + claimed != due) _break("a redemption did not pay its part");
            if (_balanceOf(i, account) - owned[i] != paid[i]) _break("a redemption said what it did not do");
            if (before[i] - _held(v, i) != due) _break("a redemption moved something else");
            if (claimed != 0) ++claimsMade;
        }
        _checkNobodyDiluted(v, before, supply);
    }

    function claim(uint256 seed) external {
        IndexVault v = _pick(seed);
        address account = _draw(seed, 1) % 2 == 0 ? holder : stranger;
        uint256 amount = v.claimOf(tokens[LINK], account);
        if (amount == 0) return;
        uint256 total = v.reserved(tokens[LINK]);
        uint256 held = _balanceOf(LINK, address(v));
        uint256 owned = _balanceOf(LINK, account);
        vm.prank(account);
        try v.claim(tokens[LINK], account, 0) {
            uint256 paid = held < total ? amount.fullMulDiv(held, total) : amount;
            if (_balanceOf(LINK, account) - owned != paid) _break("a claim was not paid, or too much");
            if (v.reserved(tokens[LINK]) != total - amount) _break("a claim did not end");
            ++claimsPaid;
        } catch {
            if (held != 0 && amount.fullMulDiv(held, _max(held, total)) != 0) _break("a claim was refused");
        }
    }

    function donate(uint256 seed) external {
        IndexVault v = _pick(seed);
        uint256 i = _draw(seed, 1) % ASSETS;
        TestToken(tokens[i]).mint(address(v), _draw(seed, 2) % (1 + _balanceOf(i, address(v)) / 20));
    }

    /// @notice The moody token takes some of what the vault holds away, as a rebasing one might: claims and all.
    function shrink(uint256 seed) external {
        IndexVault v = _pick(seed);
        _moody.burn(address(v), _draw(seed, 1) % (1 + _balanceOf(LINK, address(v)) / 8));
    }

    /* ------------------------------------------------ THE CURATOR ------------------------------------------------ */

    /// @notice Submits other targets or limits, carries out what has waited, tightens a limit, or stops a glide.
    function curate(uint256 seed) external {
        uint256 choice = _draw(seed, 1) % 8;
        if (choice < 2) return _propose(_newTargets(seed));
        if (choice == 2) return _propose(_newLimits(seed));
        if (choice < 6) return _carryOut(seed);
        bytes memory data = choice == 6
            ? abi.encodeCall(admin.tighten, (_tighter(_limitsOf[vault], seed)))
            : abi.encodeCall(admin.stopGlide, ());
        if (_curator.perform(address(vault), data)) _changed();
        else _break("the curator was refused");
    }

    function _propose(bytes memory data) internal {
        if (_curator.perform(address(vault), abi.encodeCall(admin.submit, (data)))) _pending.push(data);
    }

    function _carryOut(uint256 seed) internal {
        if (_pending.length == 0) return;
        uint256 i = _draw(seed, 2) % _pending.length;
        bytes memory data = _pending[i];
        uint256 at = admin.executableAt(keccak256(data));
        if (_draw(seed, 3) % 8 != 0) _waitUntil(at);
        if (_filler.perform(address(vault), abi.encodeCall(admin.accept, (data)))) {
            if (block.timestamp < at) _break("a change did not wait");
            _pending[i] = _pending[_pending.length - 1];
            _pending.pop();
            _changed();
        }
    }

    /// @dev Buckets and clock of the vault were settled.
    function _changed() internal {
        _watch(vault);
        ++changes;
    }

    function _newTargets(uint256 seed) internal view returns (bytes memory) {
        uint256[] memory weights = new uint256[](ASSETS);
        uint256 left = WAD;
        for (uint256 i; i < ASSETS - 1; ++i) {
            left -= weights[i] = 0.1e18 + _draw(seed, 50 + i) % 0.12e18;
        }
        weights[ASSETS - 1] = left;
        return abi.encodeCall(IVaultChanges.setTargets, (tokens, weights, 7 days + _draw(seed, 55) % 14 days));
    }

    function _newLimits(uint256 seed) internal view returns (bytes memory) {
        Limits memory l = _limitsOf[vault];
        l.maxSlippage = uint64(0.005e18 + _draw(seed, 50) % 0.02e18);
        l.maxBatchLoss = uint64(0.0002e18 + _draw(seed, 51) % 0.0004e18);
        l.lossBudget = uint64(0.0004e18 + _draw(seed, 52) % 0.001e18);
        l.turnoverBudget = uint64(0.2e18 + _draw(seed, 53) % 0.6e18);
        l.minProgress = 0.0001e18;
        l.dust = uint64(_draw(seed, 54) % 0.0001e18);
        l.window = uint32(10 days + _draw(seed, 55) % 50 days);
        AuctionTerms memory a = _termsOf[vault];
        a.premium = uint64(_draw(seed, 56) % 0.02e18);
        return abi.encodeCall(IVaultChanges.setLimits, (l, a));
    }

    function _tighter(Limits memory l, uint256 seed) internal pure returns (Limits memory) {
        uint256 part = 80 + _draw(seed, 4) % 21;
        uint256 which = _draw(seed, 5) % 4;
        if (which == 0) l.lossBudget = uint64(l.lossBudget * part / 100);
        else if (which == 1) l.turnoverBudget = uint64(l.turnoverBudget * part / 100);
        else if (which == 2) l.maxSlippage = uint64(l.maxSlippage * part / 100);
        else l.cooldown += uint32(_draw(seed, 6) % 60);
        return l;
    }

    /* -------------------------------------------------- ORDERS -------------------------------------------------- */

    function _pick(uint256 seed) internal view returns (IndexVault) {
        return _draw(seed, 0) % 4 == 0 ? _other : vault;
    }

    function _send(IndexVault v, Plan memory plan, uint256 seed, bool open) internal {
        if (plan.sum == 0 && _draw(seed, 92) % 8 != 0) return;
        // An impatient keeper would mostly meet the cooldown.
        if (_draw(seed, 91) % 8 != 0) _waitUntil(v.settledAt() + _limitsOf[v].cooldown);
        uint256[] memory theirs = _holdings(v == vault ? _other : vault);
        uint256 nests = nested;
        _attempt(v, open ? _filler : _keeper, open, _encoded(v, plan, seed, open, _antics(v, seed)));
        if (nests != nested || _sendsToOther(seed)) return;
        uint256[] memory later = _holdings(v == vault ? _other : vault);
        if (keccak256(abi.encode(theirs)) != keccak256(abi.encode(later))) _break("a batch touched another vault");
    }

    /// @dev What the route does besides paying.
    function _antics(IndexVault v, uint256 seed) internal view returns (Call[] memory calls) {
        calls = new Call[](3);
        uint256 count;
        if (_draw(seed, 80) % 8 == 0) calls[count++] = Call(address(this), abi.encodeCall(this.intrude, (v)));
        if (_draw(seed, 81) % 8 == 0) calls[count++] = Call(address(this), abi.encodeCall(this.movePrice, (seed)));
        if (_draw(seed, 82) % 4 == 0 && v == vault) {
            calls[count++] = Call(address(this), abi.encodeCall(this.nest, (seed)));
        }
        assembly ("memory-safe") {
            mstore(calls, count)
        }
    }

    function _encoded(IndexVault v, Plan memory plan, uint256 seed, bool open, Call[] memory antics)
        internal
        view
        returns (bytes memory)
    {
        Order memory order;
        order.nonce = (open ? v.openNonce() : v.nonce()) + (_draw(seed, 93) % 32 == 0 ? 2 : 1);
        order.deadline = block.timestamp;
        order.sells = _sellsOf(v, plan, seed);
        order.buys = new Buy[](_draw(seed, 94) % 4 == 0 ? 1 : 0);
        if (order.buys.length == 1) {
            uint256 i = _draw(seed, 95) % ASSETS;
            order.buys[0] = Buy(i, _raw(i, plan.bought[i]));
        }
        Call[] memory calls = new Call[](antics.length + ASSETS);
        for (uint256 i; i < calls.length; ++i) {
            if (i < antics.length) calls[i] = antics[i];
            else calls[i] = _pays(v, i - antics.length, plan);
        }
        return OrderLib.encode(order, abi.encode(calls));
    }

    function _sellsOf(IndexVault v, Plan memory plan, uint256 seed) internal view returns (Sell[] memory sells) {
        address to = _draw(seed, 90) % 2 == 0 ? address(_keeper) : address(0);
        if (_sendsToOther(seed)) to = address(v == vault ? _other : vault);
        sells = new Sell[](ASSETS);
        uint256 count;
        for (uint256 i; i < ASSETS; ++i) {
            uint256 amount = _min(_raw(i, plan.sold[i]), _held(v, i));
            if (amount != 0) sells[count++] = Sell(i, amount, to);
        }
        assembly ("memory-safe") {
            mstore(sells, count)
        }
    }

    function _sendsToOther(uint256 seed) internal pure returns (bool) {
        return _draw(seed, 96) % 16 == 0;
    }

    function _pays(IndexVault v, uint256 i, Plan memory plan) internal view returns (Call memory) {
        return Call(tokens[i], abi.encodeCall(TestToken.mint, (address(v), _raw(i, plan.bought[i]))));
    }

    /// @dev Sells all or a part of what is above its target for what is below, within the turnover budget.
    function _towardsTargets(IndexVault v, uint256 seed) internal view returns (Plan memory) {
        return _towardsTargetsBy(v, _draw(seed, 5) % 3 == 0 ? WAD : _draw(seed, 6) % WAD);
    }

    function _towardsTargetsBy(IndexVault v, uint256 part) internal view returns (Plan memory plan) {
        plan = Plan(new uint256[](ASSETS), new uint256[](ASSETS), 0);
        uint256 nav = v.nav();
        uint256[] memory targets = v.targets();
        (, uint256 headroom) = v.headroom();
        uint256 gap;
        for (uint256 i; i < ASSETS; ++i) {
            uint256 value = _value(i, _held(v, i));
            uint256 target = nav.mulWad(targets[i]);
            gap += value.dist(target);
            if (value > target) plan.sum += plan.sold[i] = value - target;
            else plan.bought[i] = target - value;
        }
        if (gap.mulWad(part) > nav.mulWad(headroom)) part = nav.mulWad(headroom).divWad(gap);
        _scale(plan, part);
    }

    function _scale(Plan memory plan, uint256 part) internal pure {
        plan.sum = 0;
        for (uint256 i; i < ASSETS; ++i) {
            plan.sum += plan.sold[i] = plan.sold[i].mulWad(part);
            plan.bought[i] = plan.bought[i].mulWad(part);
        }
    }

    /// @dev Keeps `loss` of what the plan would buy.
    function _take(Plan memory plan, uint256 loss) internal pure {
        for (uint256 i; i < ASSETS && loss != 0; ++i) {
            uint256 kept = _min(plan.bought[i], loss);
            plan.bought[i] -= kept;
            loss -= kept;
        }
    }

    /* -------------------------------------------------- HELPERS -------------------------------------------------- */

    /// @dev Gives the moody token a mood, and a door into the vault to try.
    function _turn(IndexVault v, uint256 seed) internal {
        HostileToken.Kind[6] memory kinds = [
            HostileToken.Kind.FALSE,
            HostileToken.Kind.REVERTING,
            HostileToken.Kind.LIAR,
            HostileToken.Kind.HALF,
            HostileToken.Kind.GARBAGE,
            HostileToken.Kind.REENTERING
        ];
        if (_draw(seed, 60) % 2 == 0) return;
        _moody.setDoor(abi.encodeCall(v.accrueFees, ()));
        _moody.turn(kinds[_draw(seed, 61) % kinds.length]);
    }

    function _waitUntil(uint256 timestamp) internal {
        if (block.timestamp < timestamp) _wait(timestamp - block.timestamp);
    }

    function _holdings(IndexVault v) internal view returns (uint256[] memory held) {
        held = new uint256[](ASSETS);
        for (uint256 i; i < ASSETS; ++i) {
            held[i] = _held(v, i);
        }
    }

    function _purse(address account) internal view returns (uint256[] memory owned) {
        owned = new uint256[](ASSETS);
        for (uint256 i; i < ASSETS; ++i) {
            owned[i] = _balanceOf(i, account);
        }
    }

    /// @dev Nobody's part shrinks when others come and go. `supply` is that before, with the fee that was due.
    function _checkNobodyDiluted(IndexVault v, uint256[] memory before, uint256 supply) internal {
        ++shareMoves;
        for (uint256 i; i < ASSETS; ++i) {
            if (_held(v, i) * supply < before[i] * v.totalSupply()) _break("holders were diluted");
        }
    }
}
