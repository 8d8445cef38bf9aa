import pytest
import yaml

from keeper.chain.deployment import Deployment
from keeper.chain.fields import Strict
from keeper.config import Config
from keeper.domain import InputError

FACTORY = "0x5C69bEe701ef814a2B6a3EDD4B1652CB9cc5aA6f"
MINIMAL = {
    "chain": {"rpc_url": "http://127.0.0.1:8545", "chain_id": 1},
    "deployment": "vault.json",
    "venues": [{"kind": "uniswap_v2", "factory": FACTORY}],
    "policy": {"trigger": {"kind": "always"}, "tracking_penalty": 0.5},
}


@pytest.fixture
def load(tmp_path):
    """Loads a configuration made of the minimal one and some changes."""

    def load(**changes) -> Config:
        path = tmp_path / "ballast.yaml"
        path.write_text(yaml.safe_dump(MINIMAL | changes))
        return Config.load(path)

    return load


def refusal(load, **changes) -> str:
    with pytest.raises(InputError) as caught:
        load(**changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_minimal_configuration_is_complete(load):
    config = load()
    assert config.chain.chain_id == 1
    assert config.policy.trigger.kind == "always"
    assert config.signer is None


def test_a_signer_may_be_a_key_in_a_kms(load):
    signer = load(signer={"kind": "aws_kms", "key": "alias/ballast", "region": "eu-central-1"}).signer
    assert (signer.key, signer.region, signer.endpoint_url) == ("alias/ballast", "eu-central-1", None)


def test_an_unknown_key_is_refused_with_the_file_and_the_allowed_ones(load, tmp_path):
    message = refusal(load, conectors=[])
    assert message.startswith(
        f"{tmp_path / 'ballast.yaml'}: unknown key 'conectors'; allowed: alerts, breakers, chain, "
    )


def test_an_unknown_key_further_down_is_named_with_its_place(load):
    assert "chain: unknown key 'url'; allowed: chain_id, rpc_url" in refusal(load, chain={"url": "x"})


def test_an_unknown_key_in_an_inline_policy_is_named(load):
    assert "policy: slipage" in refusal(load, policy=MINIMAL["policy"] | {"slipage": 1})


def test_an_unknown_kind_of_venue_names_those_there_are(load):
    message = refusal(load, venues=[{"kind": "sushi", "factory": FACTORY}])
    assert "venues.0" in message
    assert "'uniswap_v2', 'uniswap_v3'" in message


def test_the_url_is_read_from_the_environment(load, monkeypatch):
    monkeypatch.setenv("NODE_KEY", "s3cret")
    config = load(chain={"rpc_url": "https://node.example/${NODE_KEY}", "chain_id": 1})
    assert config.chain.rpc_url == "https://node.example/s3cret"


def test_a_variable_that_is_not_set_is_named(load, monkeypatch):
    monkeypatch.delenv("NODE_KEY", raising=False)
    message = refusal(load, chain={"rpc_url": "https://node.example/${NODE_KEY}", "chain_id": 1})
    assert message.endswith("chain.rpc_url: the environment variable NODE_KEY is not set")


def test_a_bad_url_is_refused_without_being_quoted(load):
    message = refusal(load, chain={"rpc_url": "ftp://user:s3cret@node.example", "chain_id": 1})
    assert "chain.rpc_url: must be an http:// or https:// URL" in message
    assert "s3cret" not in message


def test_an_unquoted_address_is_read_although_yaml_takes_it_for_a_number(tmp_path):
    path = tmp_path / "ballast.yaml"
    path.write_text(yaml.safe_dump(MINIMAL).replace(f"'{FACTORY}'", FACTORY))
    assert Config.load(path).venues[0].factory == FACTORY


def test_what_is_no_address_is_refused(load):
    assert "venues.0.uniswap_v2.factory: 'WETH' is no address" in refusal(
        load, venues=[{"kind": "uniswap_v2", "factory": "WETH"}]
    )


def test_files_are_looked_for_beside_the_configuration(load, tmp_path):
    (tmp_path / "policy.yaml").write_text("trigger: {kind: band, absolute: 0.05}\ntracking_penalty: 1\n")
    config = load(policy="policy.yaml", signer={"kind": "keystore", "path": "key.json"})
    assert config.deployment == tmp_path / "vault.json"
    assert config.signer.path == tmp_path / "key.json"
    assert config.policy.trigger.kind == "band"


def test_a_policy_file_that_is_missing_is_named(load, tmp_path):
    assert f"cannot read the policy file {tmp_path / 'gone.yaml'}" in refusal(load, policy="gone.yaml")


def test_a_configuration_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the configuration file .*gone.yaml"):
        Config.load(tmp_path / "gone.yaml")


def test_what_is_not_yaml_is_refused_in_one_line(tmp_path):
    path = tmp_path / "ballast.yaml"
    path.write_text("chain: [\n")
    with pytest.raises(InputError, match="is not YAML") as caught:
        Config.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "just words", "- a list"])
def test_what_is_no_configuration_at_all_is_refused(tmp_path, text):
    path = tmp_path / "ballast.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"ballast\.yaml"):
        Config.load(path)


def test_a_deployment_file_reads_back_as_it_was_written(tmp_path):
    deployment = Deployment.model_validate(
        {
            "version": 1,
            "chain_id": 1,
            "deployment_block": {"number": 5, "hash": "0x" + "ab" * 32},
            "vault": "0x" + "01" * 20,
            "oracle": "0x" + "02" * 20,
            "admin": "0x" + "05" * 20,
            "executor": "0x" + "03" * 20,
            "native_token": "0x" + "04" * 20,
            "code_hashes": dict.fromkeys(("vault", "admin", "oracle", "executor"), "0x" + "cd" * 32),
        }
    )
    deployment.save(tmp_path / "new" / "vault.json")
    assert Deployment.load(tmp_path / "new" / "vault.json") == deployment


@pytest.mark.parametrize("text", ["{", "{}", '{"version": 2}', "[]"])
def test_a_malformed_deployment_file_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "vault.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"vault\.json") as caught:
        Deployment.load(path)
    assert "\n" not in str(caught.value)


def test_a_configuration_cannot_be_changed_once_read(load):
    assert isinstance(load(), Strict)
    with pytest.raises(ValueError, match="frozen"):
        load().tick_words = 9
