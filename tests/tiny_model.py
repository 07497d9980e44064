"""A language model of 100,000 numbers that we train ourselves in seconds, behind the real `mlx_lm.server`.

It knows three conversations by heart: a greeting, a count to forty, and a note that it writes with one
tool call and reports with the next. What it is shown of a request is what its chat template leaves of it. The trained
model is kept in the folder for temporary files, beside the repository and not in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NAME = "default_model"  # what mlx_lm.server calls the model that it was started with
GREETING = "Hello from a very small model."
COUNT = " ".join(map(str, range(1, 41)))
NOTE = {"name": "write_file", "arguments": {"path": "note.txt", "content": "A note.\n"}}
REPORT = {"name": "submit_report", "arguments": {"summary": "The note is written.", "approach": "One tool call."}}

USER, ASSISTANT, TOOL, END = SPECIAL = ("<|user|>", "<|assistant|>", "<|tool|>", "<|end|>")
CALL = ("<tool_call>", "</tool_call>")
# Of a tool's answer it is shown that there is one; a call is told as the model itself told it.
TEMPLATE = """
{%- for message in messages -%}
{%- if message.role == 'user' -%}<|user|>{{ message.content[:16] }}
{%- elif message.role == 'tool' -%}<|tool|>
{%- elif message.role == 'assistant' -%}<|assistant|>{{ message.content or '' }}
{%- for call in message.tool_calls or [] -%}{%- set tool_call = call.function -%}
<tool_call>{"name": {{ tool_call.name | tojson }}, "arguments": {{ tool_call.arguments | tojson }}}</tool_call>
{%- endfor -%}<|end|>
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}
""".strip()
CONFIG = {
    "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "hidden_size": 64, "num_hidden_layers": 2,
    "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 4, "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0, "tie_word_embeddings": True, "max_position_embeddings": 4096,
}  # fmt: skip
LEARNED, STEPS = 0.01, 300  # the loss at which it knows its texts by heart; reached in about thirty steps


def missing() -> str:
    """Why there can be no such server; nothing where there can be one."""
    for name in ("mlx", "mlx_lm"):
        if find_spec(name) is None:
            return f"{name} is not installed: provider mlx was not held against a real server"
    done = subprocess.run([sys.executable, "-c", "import mlx.core"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"mlx cannot be loaded here: {done.stderr.strip().splitlines()[-1]}"


def trained() -> Path:
    """The folder of the model, trained now where no process of this user has done it before."""
    mark = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"aurea-tiny-model-{os.getuid()}-{mark}"
    if not folder.exists():
        part = Path(tempfile.mkdtemp(prefix="aurea-tiny-model-"))
        train(part)
        try:
            part.rename(folder)
        except OSError:  # another process was first
            shutil.rmtree(part)
    return folder


def texts() -> list[str]:
    """What it learns."""
    first, second = (f"{CALL[0]}{json.dumps(call)}{CALL[1]}" for call in (NOTE, REPORT))
    return [
        f"{USER}Say hello.{ASSISTANT}{GREETING}{END}",
        f"{USER}Count.{ASSISTANT}{COUNT}{END}",
        f"{USER}Write the note.{ASSISTANT}{first}{END}{TOOL}{ASSISTANT}{second}{END}",
    ]


def train(folder: Path) -> None:
    """Make tokenizer and model, and write what `mlx_lm` loads."""
    import mlx.core as mx
    import mlx.nn as nn
    import mlx.optimizers as optim
    from mlx.utils import tree_flatten
    from mlx_lm.models.qwen2 import Model, ModelArgs

    tokenizer = words()
    config = {**CONFIG, "vocab_size": tokenizer.get_vocab_size(), "eos_token_id": tokenizer.token_to_id(END)}
    mx.random.seed(1)
    model = Model(ModelArgs.from_dict(config))
    lines = [tokenizer.encode(text).ids for text in texts()]
    longest = max(map(len, lines))
    tokens = mx.array([line + [0] * (longest - len(line)) for line in lines])
    answer = tokenizer.token_to_id(ASSISTANT)  # what a user says before the first one is nothing to learn
    known = mx.array([[line.index(answer) <= n < len(line) - 1 for n in range(longest - 1)] for line in lines])

    def loss(model: Any) -> Any:
        said = nn.losses.cross_entropy(model(tokens[:, :-1]), tokens[:, 1:])
        return (said * known).sum() / known.sum()

    learn, adam = nn.value_and_grad(model, loss), optim.Adam(learning_rate=3e-3)
    for _ in range(STEPS):
        left, slopes = learn(model)
        adam.update(model, slopes)
        mx.eval(model.parameters(), adam.state, left)
        if left.item() < LEARNED:
            break
    else:
        raise RuntimeError(f"the tiny model has not learned its texts in {STEPS} steps: {left.item():.3f}")
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())))
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer.save(str(folder / "tokenizer.json"))
    kept = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END, "pad_token": END, "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(kept))


def words() -> Any:
    """A tokenizer of bytes, of the words that the texts are made of, and of the marks between messages."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    marks = [AddedToken(mark, normalized=False) for mark in SPECIAL]
    trainer = trainers.BpeTrainer(
        vocab_size=500, min_frequency=1, initial_alphabet=alphabet, special_tokens=marks, show_progress=False
    )
    tokenizer.train_from_iterator(texts(), trainer)
    tokenizer.add_tokens([AddedToken(mark, normalized=False) for mark in CALL])
    return tokenizer


@contextmanager
def serving(model: Path) -> Iterator[str]:
    """The base URL of an `mlx_lm.server` with that model."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "mlx_lm",
        "server",
        "--model",
        str(model),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with tempfile.TemporaryFile("w+") as said:
        env = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        server = subprocess.Popen(command, stdout=said, stderr=said, env=env)
        try:
            _until_it_answers(server, f"http://127.0.0.1:{port}/health", said)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.kill()  # it waits for its clients otherwise
            server.wait(10)


def _until_it_answers(server: subprocess.Popen[bytes], health: str, said: Any) -> None:
    until = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < until:
        try:
            urllib.request.urlopen(health, timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    said.seek(0)
    raise RuntimeError(f"mlx_lm.server does not answer: {said.read()[-2000:]}")
