"""The local server of the demo: a real process, a briefly trained model, the real ``openai`` client."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer

TINY = [sys.executable, "-m", "prefdata_trainer.tiny"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
REQUEST = "We are 5 guests and need a quiet room in Cardiff, 9 nights from Thursday."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has seen enough to answer in the form of a booking, and to end its answers."""
    out = tmp_path_factory.mktemp("tiny") / "desk"
    subprocess.run([*TINY, "train", "--out", str(out), "--steps", "45"], check=True, env=ENVIRONMENT)
    return out


@pytest.fixture(scope="module")
def adapter(model: Path) -> Path:
    """A LoRA adapter written by hand, of rank 2 on one matrix."""
    folder = model.parent / "adapter"
    folder.mkdir()
    random = np.random.default_rng(0)
    name = "base_model.model.model.layers.1.mlp.down_proj"
    save_file(
        {
            f"{name}.lora_A.weight": random.normal(size=(2, 384)).astype(np.float32),
            f"{name}.lora_B.weight": random.normal(size=(128, 2)).astype(np.float32),
        },
        folder / "adapter_model.safetensors",
    )
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 2, "target_modules": ["down_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps({**config, "layers_to_transform": [1]}))
    return folder


@pytest.fixture(scope="module")
def url(model: Path, adapter: Path) -> Iterator[str]:
    """A server's base URL. It must say one line, and end well when it is told to."""
    command = [*TINY, "serve", str(model), "--adapter", str(adapter)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert line.startswith(f"serving {model} at http://127.0.0.1:")
        yield line.rpartition(" ")[2]
        process.terminate()
        rest, _ = process.communicate(timeout=30)
        assert (process.returncode, rest) == (0, "")


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, text: str = REQUEST, **options: Any) -> Any:
    options = {"model": "desk", "max_tokens": 40, "seed": 0, **options}
    return client.chat.completions.create(messages=[{"role": "user", "content": text}], **options)


def texts(answer: Any) -> list[str]:
    return [choice.message.content for choice in answer.choices]


def test_models_are_the_base_and_the_adapter(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["desk", "adapter"]


def test_n_choices_are_n_different_samples(client: openai.OpenAI) -> None:
    answer = ask(client, n=6)
    assert [choice.index for choice in answer.choices] == list(range(6))
    assert len(set(texts(answer))) > 1
    assert {choice.finish_reason for choice in answer.choices} <= {"stop", "length"}
    once = ask(client)
    assert answer.usage.prompt_tokens == once.usage.prompt_tokens
    assert answer.usage.completion_tokens > 2 * once.usage.completion_tokens
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_seed_decides(client: openai.OpenAI) -> None:
    first = texts(ask(client, n=4))
    assert texts(ask(client, n=4)) == first
    assert texts(ask(client, n=4, seed=1)) != first
    assert texts(ask(client, n=2)) == first[:2]
    assert texts(ask(client, n=4, seed=None)) != texts(ask(client, n=4, seed=None))


def test_a_crowd_of_clients_changes_no_answer(client: openai.OpenAI) -> None:
    """Rows of other lengths in the same batch move nothing and swap nothing."""
    prompts = [f"{'Good morning. ' * (number % 5)}{REQUEST} ({number})" for number in range(16)]
    alone = [texts(ask(client, prompt, n=2, seed=number)) for number, prompt in enumerate(prompts)]
    with ThreadPoolExecutor(16) as pool:
        together = pool.map(lambda pair: texts(ask(client, pair[1], n=2, seed=pair[0])), enumerate(prompts))
    assert list(together) == alone
    assert len({tuple(pair) for pair in alone}) > 8


def test_replies_end_by_themselves_or_at_max_tokens(client: openai.OpenAI) -> None:
    ended = ask(client, temperature=0).choices[0]
    assert ended.finish_reason == "stop"
    assert ended.message.content.startswith("Booked: ")
    assert "<|im_end|>" not in ended.message.content
    cut = ask(client, temperature=0, max_tokens=2)
    assert cut.choices[0].finish_reason == "length"
    assert cut.usage.completion_tokens == 2
    assert ended.message.content.startswith(cut.choices[0].message.content)
    assert texts(ask(client, temperature=0, max_tokens=None, max_completion_tokens=2)) == texts(cut)


def test_stop_strings_end_a_reply_before_themselves(client: openai.OpenAI) -> None:
    whole = texts(ask(client))[0]
    stop = " nights"
    assert stop in whole
    choice = ask(client, stop=["never said", stop], logprobs=True).choices[0]
    assert choice.message.content == whole[: whole.index(stop)]
    assert choice.finish_reason == "stop"
    assert "".join(token.token for token in choice.logprobs.content) == choice.message.content


def test_greedy_takes_the_likeliest_token_and_so_does_a_narrow_nucleus(client: openai.OpenAI) -> None:
    greedy = ask(client, temperature=0, logprobs=True, top_logprobs=5).choices[0]
    for token in greedy.logprobs.content:
        assert token.token == token.top_logprobs[0].token
        assert token.logprob == token.top_logprobs[0].logprob
        told = [other.logprob for other in token.top_logprobs]
        assert len(told) == 5
        assert told == sorted(told, reverse=True)
        assert bytes(token.bytes).decode() == token.token
    assert "".join(token.token for token in greedy.logprobs.content) == greedy.message.content
    assert texts(ask(client, temperature=1, top_p=0.001)) == [greedy.message.content]
    assert ask(client).choices[0].logprobs is None


def test_tokens_come_as_often_as_their_logprobs_say(client: openai.OpenAI) -> None:
    """512 first tokens after an unusual prompt, against exp(logprob); fixed seeds, so no luck is involved."""
    options: dict[str, Any] = {"model": "desk", "prompt": "We are 3", "max_tokens": 1, "n": 128, "logprobs": 5}
    answers = [client.completions.create(seed=seed, **options) for seed in range(4)]
    drawn = [choice.text for answer in answers for choice in answer.choices]
    likeliest = answers[0].choices[0].logprobs.top_logprobs[0]  # type: ignore[union-attr, index]
    assert len(likeliest) == 5
    cold = client.completions.create(temperature=0.1, **options).choices[0].logprobs
    assert cold is not None
    assert cold.top_logprobs == [pytest.approx(likeliest, abs=1e-5)]
    for token, logprob in likeliest.items():
        p = math.exp(logprob)
        assert abs(drawn.count(token) / len(drawn) - p) < 4 * math.sqrt(p * (1 - p) / len(drawn)) + 0.005


def test_completions_answer_each_prompt_n_times(client: openai.OpenAI, model: Path) -> None:
    answer = client.completions.create(model="desk", prompt=["Booked", "We are"], n=2, max_tokens=8, seed=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.choices[0].text != answer.choices[2].text
    tokens = Tokenizer.from_file(str(model / "tokenizer.json")).encode("Booked").ids
    by_tokens = client.completions.create(model="desk", prompt=tokens, n=2, max_tokens=8, seed=3)
    assert [choice.text for choice in by_tokens.choices] == [choice.text for choice in answer.choices[:2]]
    assert by_tokens.usage is not None
    assert by_tokens.usage.prompt_tokens == len(tokens)


def test_the_adapter_speaks_otherwise(client: openai.OpenAI) -> None:
    def scores(name: str) -> list[float]:
        answer = ask(client, model=name, temperature=0, max_tokens=3, logprobs=True)
        return [token.logprob for token in answer.choices[0].logprobs.content]

    assert scores("adapter") != pytest.approx(scores("desk"), abs=0.01)
    assert scores("desk") == pytest.approx(scores("desk"), abs=1e-9)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n": 0}, "n: "),
        ({"temperature": 3}, "temperature: "),
        ({"temperature": "hot"}, "temperature: "),
        ({"top_p": 0}, "top_p: "),
        ({"max_tokens": 0}, "max_tokens: "),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"top_logprobs": 2}, "top_logprobs needs logprobs"),
        ({"stream": True}, "stream is not supported"),
        ({"tools": [{"type": "function"}]}, "tools is not supported"),
        ({"response_format": {"type": "json_object"}}, "response_format is not supported"),
        ({"extra_body": {"messages": []}}, "messages: "),
        ({"extra_body": {"messages": [{"role": "user"}]}}, "messages.0.content: "),
        ({"extra_body": {"messages": [{"role": "poet", "content": "O"}]}}, "messages.0.role: "),
        ({"text": "night " * 600}, "must fit in 512"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(client: openai.OpenAI, options: dict[str, Any], said: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, **options)
    assert isinstance(refused.value.body, dict)
    assert said in refused.value.body["message"]
    assert refused.value.type == "invalid_request_error"


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="this server has desk, adapter") as refused:
        ask(client, model="gpt")
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/chat/completions", b"{", 400),
        ("/chat/completions", b"[]", 400),
        ("/nothing", b"{}", 404),
        ("/models", b"{}", 405),
    ],
)
def test_every_refusal_is_an_error_object(url: str, path: str, body: bytes, status: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url + path, data=body, timeout=30)
    with refused.value as response:
        assert response.code == status
        assert json.loads(response.read())["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["train", "--out", "."], "exists already"), (["serve", "absent"], "absent holds no config.json")],
)
def test_a_wrong_folder_gets_one_line_and_a_hint(arguments: list[str], said: str) -> None:
    failed = subprocess.run([*TINY, *arguments], capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert failed.returncode == 2
    first, second = failed.stderr.splitlines()
    assert first.startswith("error: ")
    assert said in first
    assert second.startswith("  help: ")
