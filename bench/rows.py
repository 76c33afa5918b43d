"""What ./dev bench measures: the rows of the speed table as data.

A row has contenders. The first is Retune; the others, and whatever Retune's process measures beside itself, are what its time is a
ratio to. The bars are what the project asks of itself; a row that falls short is profiled.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Contender:
    label: str
    program: str  # a key of contenders.PROGRAMS
    model: str  # a name of bench/models/write_model.cc, or "demo"
    work: str
    sizes: dict = dataclasses.field(default_factory=dict)  # None: as Retune says in its facts


@dataclasses.dataclass(frozen=True)
class Row:
    name: str  # what ./dev bench ROW selects
    group: str
    title: str
    contenders: tuple
    bar: tuple = ()  # (label, ratio): Retune is to be so many times as fast as that contender
    limit: float = 0  # Retune's value is to be at most this, in its unit
    rate_bar: float = 0  # share of the rate of its matrix products (the contender PRODUCTS)
    bar_needs: str = ""  # a processor feature without which the bar does not apply
    runs: int = 5  # of a contender in a round
    warm_up: int = 2
    rounds: int = 0  # fewer than asked for; 0: as asked
    one_thread: bool = True  # whether one thread may be anybody's best setting
    memory_gib: float = 2
    disk_gib: float = 0  # beside the model


RETUNE, TORCH, ORT = "Retune", "PyTorch", "ONNX Runtime"
PRODUCTS = "its matrix products alone"
DEMO, SMALL, HALF, HALF_BF16, LARGE = "demo", "decoder-134m", "lalm-0.5b", "lalm-0.5b-bf16", "lalm-7b-bf16"
SHORT_NAMES = {SMALL: "134m", HALF: "0.5b", HALF_BF16: "0.5b-bf16", LARGE: "7b"}
IN_WORDS = {SMALL: "134 M", HALF: "0.5 B", HALF_BF16: "0.5 B, bf16", LARGE: "7 B, bf16"}
FORWARD, GRADIENT = "Forward", "Forward and backward to all weights"
EDITING, ASKING, TYPES, FILES = "Editing", "Asking", "Types and decoding", "Files and memory, 7 B"


def text(batch, tokens):
    return {"batch": batch, "clips": 0, "text": tokens}


def demo_rows():
    batch = ("batch 32 (24 prompts with a two-second clip, 8 of text), 86 positions", {"batch": 32, "clips": 24, "text": 72, "frames": 200})
    for work, peers in (("forward", {ORT: "onnxruntime", TORCH: "torch"}), ("forward_backward", {TORCH: "torch"}),
                        ("train_step", {TORCH: "torch"})):
        programs = {RETUNE: "retune"} | peers
        yield Row(f"demo-{work.replace('_', '-')}", "Demo model", f"{work.replace('_', ' and ', 1) if work != 'train_step' else 'a training step'}, {batch[0]}",
                  tuple(Contender(label, program, DEMO, work, batch[1]) for label, program in programs.items()))
    yield Row("demo-rome", "Demo model", "ROME edit of a fact, 5 views and the prompt whose answer is to stay, 20 steps",
              (Contender(RETUNE, "retune", DEMO, "rome_edit", {"facts": "demo/facts.json"}),
               Contender(TORCH, "torch", DEMO, "rome_edit", {"positions": None, "batch": 6, "clips": 6})))


def batch_rows():
    for work, group, peers, bar, rate_bar in (
            ("forward", FORWARD, {ORT: "onnxruntime", TORCH: "torch"}, (ORT, 1.1), 0.85),
            ("forward_backward", GRADIENT, {TORCH: "torch"}, (TORCH, 1.5), 0.80)):
        for model in (SMALL, HALF):
            for batch, tokens in ((8, 64), (1, 128)):
                large = model == HALF
                contenders = [Contender(label, program, model, work, text(batch, tokens))
                              for label, program in ({RETUNE: "retune"} | peers).items()]
                contenders.append(Contender(PRODUCTS, "retune", model, "products", text(batch, tokens) | {"of": work}))
                yield Row(f"{'forward' if work == 'forward' else 'gradient'}-{SHORT_NAMES[model]}-{batch}x{tokens}", group,
                          f"{IN_WORDS[model]}, batch {batch} x {tokens}", tuple(contenders), bar=bar, rate_bar=rate_bar,
                          runs=2 if large else 5, warm_up=1, one_thread=not large, memory_gib=12 if large else 4)


def editing_rows():
    steps = {"positions": 48, "block": 8, "steps": 15}
    yield Row("ft-mlp", EDITING, "15 fine-tuning steps on the MLP of block 8 of 12, 134 M, 1 x 48, loss on the answer's 4 tokens",
              (Contender(RETUNE, "retune", SMALL, "fine_tuning", steps), Contender(TORCH, "torch", SMALL, "fine_tuning", steps)),
              bar=(TORCH, 3), runs=3, warm_up=1, memory_gib=4)
    size = {"positions": 48, "block": 8, "steps": 20, "batch": 11, "clips": 0}
    yield Row("target-text", EDITING, "20 steps of a target vector at block 8 of 12, 134 M, 10 views and the prompt whose answer is to "
              "stay, 11 x 48; PyTorch: the whole model forward in each step",
              (Contender(RETUNE, "retune", SMALL, "target_vector", size), Contender(TORCH, "torch", SMALL, "target_vector", size)),
              bar=(TORCH, 3), runs=2, warm_up=1, one_thread=False, memory_gib=4)
    size = {"positions": 400, "block": 8, "steps": 20, "batch": 6, "clips": 6, "frames": 3000}
    yield Row("target-audio", EDITING, "the same with 6 prompts of 400 tokens, 189 of them of a 30-second clip, injected at the last "
              "prompt token",
              (Contender(RETUNE, "retune", SMALL, "target_vector", size), Contender(TORCH, "torch", SMALL, "target_vector", size)),
              bar=(TORCH, 20), runs=2, warm_up=0, one_thread=False, memory_gib=10)


def asking_rows():
    yield Row("score-after-edit", ASKING, "scoring the options of 12 probes (one continuation each, 48 tokens) after an edit at block 8 of "
              "12, 134 M",
              (Contender(RETUNE, "retune", SMALL, "score_after_edit", {"questions": 12, "positions": 48, "block": 8}),),
              bar=("the first time", 2.5), memory_gib=4)
    size = {"questions": 10, "frames": 3000, "text": 32}
    yield Row("options-on-clip", ASKING, "10 questions with 4 options each on one 30-second clip, 0.5 B, prompts of 221 tokens (of the 40 "
              "whole prompts 4 are read, and count for all)",
              (Contender(RETUNE, "retune", HALF, "options_on_clip", size),),
              bar=("each whole prompt by itself", 6), runs=2, warm_up=1, one_thread=False, memory_gib=8)


def type_rows():
    size = text(8, 64)
    yield Row("bf16-forward", TYPES, "forward, 0.5 B in bf16 against f32, batch 8 x 64",
              (Contender(RETUNE, "retune", HALF_BF16, "forward", size), Contender("Retune in f32", "retune", HALF, "forward", size)),
              bar=("Retune in f32", 3), bar_needs="amx_bf16", runs=3, warm_up=1, one_thread=False, memory_gib=8)
    for model in (HALF, HALF_BF16):
        kind = "bf16" if model == HALF_BF16 else "f32"
        yield Row(f"decode-{kind}", TYPES, f"greedy decoding with the KV cache, 0.5 B, {kind}, one stream; time of a token",
                  (Contender(RETUNE, "retune", model, "decode", {"tokens": 32, "positions": 16}),),
                  bar=("the memory-bandwidth limit", 0.8), runs=2, warm_up=0, one_thread=False, memory_gib=8)


def file_rows():
    yield Row("load-7b", FILES, "opening the model", (Contender(RETUNE, "retune", LARGE, "open_model"),), limit=1, one_thread=False)
    yield Row("export-7b", FILES, "export after editing one tensor; the proof timed apart",
              (Contender(RETUNE, "retune", LARGE, "export_model", {"block": 16, "out": "exported"}),),
              bar=("a plain copy", 0.8), runs=2, warm_up=0, one_thread=False, disk_gib=17)
    yield Row("forward-memory-7b", FILES, "peak memory of a forward pass of 1 x 128 tokens beyond the mapped weights",
              (Contender(RETUNE, "retune", LARGE, "forward_memory", text(1, 128)),),
              limit=1.5, runs=1, warm_up=0, rounds=1, one_thread=False, memory_gib=16)
    yield Row("edit-memory-7b", FILES, "peak resident memory of a ROME edit of 20 steps, mapped weights included",
              (Contender(RETUNE, "retune", LARGE, "edit_memory", {"facts": "demo/facts.json"}),),
              limit=20, runs=1, warm_up=0, rounds=1, one_thread=False, memory_gib=20)


ROWS = (*demo_rows(), *batch_rows(), *editing_rows(), *asking_rows(), *type_rows(), *file_rows())
