"""A small local server that speaks the OpenAI protocol over transformers folders, with or without PEFT adapters.

It honours what it accepts: ``n`` choices, log-probabilities, seeds, stop strings. It is meant for models that answer
within milliseconds on a CPU: batches are gathered when they start, not while they run.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse
from starlette.routing import Route
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from prefdata.errors import ServiceError
from prefdata_trainer.quiet import hushed
from prefdata_trainer.tiny import protocol
from prefdata_trainer.tiny.engine import Engine
from prefdata_trainer.tiny.protocol import ChatRequest, CompletionRequest, RequestError

COMPLETION_MAX_TOKENS = 16
"""OpenAI's default for completions; chat has none but the length of the context."""


def load(folder: Path, adapters: Mapping[str, Path | None]) -> dict[str, Engine]:
    """An engine for each name: the model with that adapter merged, or the model itself where it is ``None``."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    lock = threading.Lock()
    engines = {}
    for name, adapter in adapters.items():
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        if adapter is not None:
            from peft import PeftModel

            with hushed():
                model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
        engines[name] = Engine(model.eval(), tokenizer, lock)
    return engines


def create_app(engines: Mapping[str, Engine], ready: Callable[[], None] = lambda: None) -> Starlette:
    """The application; ``ready`` is called when it starts, and the engines are closed when it ends."""

    def engine_of(model: str) -> Engine:
        if model not in engines:
            message = f"the model {model!r} does not exist; this server has {', '.join(engines)}"
            raise RequestError(message, param="model", code="model_not_found", status=404)
        return engines[model]

    async def chat(http: HttpRequest) -> JSONResponse:
        request = protocol.parse(ChatRequest, await http.body())
        engine = engine_of(request.model)
        if not engine.tokenizer.chat_template:
            raise RequestError(f"{request.model} has no chat template; use /v1/completions", param="messages")
        messages = [message.plain() for message in request.messages]
        prompt = engine.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        room = room_after(engine, [prompt])
        sampling = request.sampling(
            min(request.max_completion_tokens or request.max_tokens or room, room),
            (request.top_logprobs or 0) if request.logprobs else None,
        )
        rows = await asyncio.wrap_future(engine.submit([prompt], request.n or 1, sampling))
        return JSONResponse(protocol.chat_document(engine, request, rows))

    async def complete(http: HttpRequest) -> JSONResponse:
        request = protocol.parse(CompletionRequest, await http.body())
        engine = engine_of(request.model)
        prompts = token_lists(engine, request)
        room = room_after(engine, prompts)
        sampling = request.sampling(min(request.max_tokens or COMPLETION_MAX_TOKENS, room), request.logprobs)
        rows = await asyncio.wrap_future(engine.submit(prompts, request.n or 1, sampling))
        return JSONResponse(protocol.completion_document(engine, request, rows))

    async def models(_: HttpRequest) -> JSONResponse:
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "prefdata"} for name in engines]
        return JSONResponse({"object": "list", "data": data})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        ready()
        yield
        for engine in engines.values():
            engine.close()

    return Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/completions", complete, methods=["POST"]),
            Route("/v1/models", models, methods=["GET"]),
        ],
        exception_handlers={RequestError: _refuse, HTTPException: _refuse_http, Exception: _fail},
        lifespan=lifespan,
    )


def token_lists(engine: Engine, request: CompletionRequest) -> list[list[int]]:
    """The prompts of a completion request as tokens, one list each."""
    prompts: list[Any] = [request.prompt] if isinstance(request.prompt, str) else list(request.prompt)
    if isinstance(prompts[0], int):
        prompts = [prompts]
    lists: list[list[int]] = [
        engine.tokenizer(text)["input_ids"] if isinstance(text, str) else text for text in prompts
    ]
    size = int(engine.model.config.vocab_size)
    if any(not tokens for tokens in lists):
        raise RequestError("prompt: an empty prompt gives nothing to continue", param="prompt")
    if any(not 0 <= token < size for tokens in lists for token in tokens):
        raise RequestError(f"prompt: a token is outside the vocabulary of {size}", param="prompt")
    return lists


def room_after(engine: Engine, prompts: list[list[int]]) -> int:
    """How many tokens fit after the longest prompt."""
    longest = max(map(len, prompts))
    if longest >= engine.context:
        message = f"the prompt has {longest} tokens; with an answer it must fit in {engine.context}"
        raise RequestError(message, param="prompt", code="context_length_exceeded")
    return engine.context - longest


async def _refuse(_: HttpRequest, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestError)
    return JSONResponse(error.document, error.status)


async def _refuse_http(http: HttpRequest, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    message = f"{http.method} {http.url.path}: {error.detail}"
    return JSONResponse(RequestError(message, status=error.status_code).document, error.status_code, error.headers)


async def _fail(_: HttpRequest, error: Exception) -> JSONResponse:
    return JSONResponse(RequestError(f"{type(error).__name__}: {error}", status=500).document, 500)


def serve(engines: Mapping[str, Engine], host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; ``announce`` gets the base URL once clients can connect.

    Raises ``ServiceError`` where the address cannot be had. Port 0 takes any free one.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise ServiceError(f"cannot listen at {host}:{port}: {error.strerror}", "try --port 0") from None
        listener.listen(1024)
        shown = f"[{host}]" if family == socket.AF_INET6 else host
        url = f"http://{shown}:{listener.getsockname()[1]}/v1"
        app = create_app(engines, ready=lambda: announce(url))
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=5)
        # uvicorn raises the signal again after its own shutdown; this makes that a normal exit instead of a death.
        signal.signal(signal.SIGTERM, _exit)
        uvicorn.Server(config).run(sockets=[listener])


def _exit(*_: object) -> NoReturn:
    raise SystemExit(0)
