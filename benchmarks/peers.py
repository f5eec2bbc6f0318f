"""The same job in other tools: N prompts to one model. Each runs in a Python that has the tool; none is imported here.

python benchmarks/peers.py TOOL URL PROMPTS CONCURRENCY     # TOOL: bare, inspect_ai, curator, distilabel
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile


def bare(url: str, prompts: list[str], concurrency: int) -> int:
    """The openai client with its fastest transport, and nothing else: no record, no retry, no limit but the number."""
    import openai

    async def run() -> int:
        transport = openai.DefaultAioHttpClient(timeout=300)
        client = openai.AsyncOpenAI(
            api_key="none",
            base_url=url,
            max_retries=10,
            timeout=300,
            http_client=transport,
        )
        gate, answers = asyncio.Semaphore(concurrency), 0

        async def ask(prompt: str) -> None:
            nonlocal answers
            async with gate:
                reply = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": prompt}])
                answers += reply.choices[0].message.content is not None

        await asyncio.gather(*(ask(prompt) for prompt in prompts), return_exceptions=True)
        await client.close()
        return answers

    return asyncio.run(run())


def inspect_ai(url: str, prompts: list[str], concurrency: int) -> int:
    """An evaluation without a scorer."""
    os.environ |= {"LOCAL_BASE_URL": url, "LOCAL_API_KEY": "none", "INSPECT_DISPLAY": "none"}
    from inspect_ai import Task
    from inspect_ai import eval as evaluate
    from inspect_ai.dataset import Sample
    from inspect_ai.solver import generate

    task = Task(dataset=[Sample(input=prompt) for prompt in prompts], solver=generate())
    limits = {"max_connections": concurrency, "max_samples": concurrency + 10}
    (log,) = evaluate(task, model="openai-api/local/m", display="none", log_dir=tempfile.mkdtemp(), **limits)
    return sum(bool(sample.output.completion) for sample in log.samples or [])


def curator(url: str, prompts: list[str], concurrency: int) -> int:
    """Its LLM class over the OpenAI backend, its own rate limits far away."""
    os.environ |= {
        "TELEMETRY_ENABLED": "false",
        "CURATOR_DISABLE_CACHE": "true",
        "OPENAI_API_KEY": "none",
    }
    from bespokelabs import curator as tool

    limits = {"max_requests_per_minute": 1_000_000, "max_tokens_per_minute": 1_000_000_000}
    params = {"base_url": url, "max_concurrent_requests": concurrency, "require_all_responses": False, **limits}
    llm = tool.LLM(model_name="m", backend="openai", backend_params=params)
    found = llm(prompts, working_dir=tempfile.mkdtemp())
    rows = getattr(found, "dataset", found)
    return sum(row.get("response") is not None for row in rows)


def distilabel(url: str, prompts: list[str], concurrency: int) -> int:
    """A pipeline of one step; its batch is its concurrency."""
    os.environ |= {"DISTILABEL_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration

    with Pipeline(name="bench", cache_dir=tempfile.mkdtemp()) as pipeline:
        load = LoadDataFromDicts(data=[{"instruction": prompt} for prompt in prompts], batch_size=concurrency)
        llm = OpenAILLM(model="m", base_url=url, api_key="none", timeout=300, max_retries=10)
        load >> TextGeneration(llm=llm, input_batch_size=concurrency)
    rows = pipeline.run(use_cache=False)["default"]["train"]
    return sum(row["generation"] is not None for row in rows)


TOOLS = {"bare": bare, "inspect_ai": inspect_ai, "curator": curator, "distilabel": distilabel}

if __name__ == "__main__":
    name, url, count, concurrency = sys.argv[1:]
    prompts = [f"question {number}: how do you do?" for number in range(int(count))]
    print(json.dumps({"answers": TOOLS[name](url, prompts, int(concurrency))}))
