"""Endpoints: how they are written, and which key goes where."""

from __future__ import annotations

import pytest

from prefdata.endpoint.endpoint import OPENAI, Endpoint, parse_endpoint
from prefdata.errors import ServiceError, UsageError


@pytest.mark.parametrize(
    ("spec", "name", "model", "url"),
    [
        ("gpt-x", "gpt-x", "gpt-x", OPENAI),
        ("m@http://h:8000/v1/", "m", "m", "http://h:8000/v1"),
        ("big=org/m-7b@https://h/v1", "big", "org/m-7b", "https://h/v1"),
        ("m@2024@https://h/v1?a=b", "m@2024", "m@2024", "https://h/v1?a=b"),
        ("judge=gpt-x", "judge", "gpt-x", OPENAI),
    ],
)
def test_an_endpoint_is_a_name_a_model_and_a_base_url(spec: str, name: str, model: str, url: str) -> None:
    endpoint = parse_endpoint(spec, {})
    assert (endpoint.name, endpoint.model, endpoint.base_url) == (name, model, url)


@pytest.mark.parametrize("spec", ["", "=m", "a=", "@http://h/v1", "m@http://", "m@localhost:8000/v1", "m@ftp://h/v1"])
def test_what_cannot_be_meant_is_a_usage_error(spec: str) -> None:
    with pytest.raises(UsageError):
        parse_endpoint(spec, {})


def test_the_environment_names_the_default_base_url() -> None:
    environment = {"OPENAI_BASE_URL": "http://localhost:1/v1", "OPENAI_API_KEY": "k"}
    endpoint = parse_endpoint("m", environment)
    assert endpoint.base_url == "http://localhost:1/v1"
    assert endpoint.key(environment) == "k"


def test_a_key_goes_only_to_the_endpoint_that_it_was_meant_for() -> None:
    environment = {"OPENAI_API_KEY": "openai's", "OTHER_API_KEY": "other's"}
    assert parse_endpoint("m@https://elsewhere/v1", environment).key(environment) is None
    assert parse_endpoint("other=m@https://elsewhere/v1", environment).key(environment) == "other's"
    assert parse_endpoint("org/q-1.5@https://elsewhere/v1", environment).key_variable == "Q_1_5_API_KEY"


def test_openai_without_a_key_is_refused_before_any_call() -> None:
    with pytest.raises(ServiceError, match="no key") as error:
        parse_endpoint("m", {}).check_key({})
    assert "OPENAI_API_KEY" in str(error.value.hint)
    Endpoint("m", "m", "http://localhost:1/v1", "M_API_KEY").check_key({})
