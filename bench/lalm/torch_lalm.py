"""The demo model's architecture in PyTorch, as its user would write it, with the weights of a bundle's ONNX files.

Used as the peer of the benchmark and as an independent reference for logits and gradients. Needs Debian's python3-torch and
python3-onnx. Shapes are read from the weights, so any bundle that `retune train` writes will do.
"""

import json
import math
import pathlib

import numpy
import onnx
import onnx.numpy_helper
import torch
import torch.nn.functional as F


def initializers(path):
    graph = onnx.load(str(path)).graph
    return {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in graph.initializer}


class Lalm(torch.nn.Module):
    """encoder -> stacking connector -> scatter into the prompt -> Llama-style decoder -> logits [B, S, V]"""

    def __init__(self, bundle):
        super().__init__()
        bundle = pathlib.Path(bundle)
        config = json.loads((bundle / "config.json").read_text())
        text, audio = config["text_config"], config["audio_config"]
        self.blocks, self.heads, self.kv_heads, self.head_size = (
            text["num_hidden_layers"], text["num_attention_heads"], text["num_key_value_heads"], text["head_dim"])
        self.epsilon, self.theta = text["rms_norm_eps"], text["rope_theta"]
        self.encoder_blocks, self.encoder_heads = audio["encoder_layers"], audio["encoder_attention_heads"]
        self.stack = config["stack_factor"]
        self.audio_id = config["ignore_index"]
        tensors = {}
        for name in ("audio_encoder", "embed_tokens", "decoder_model_merged"):
            tensors.update(initializers(bundle / "onnx" / f"{name}.onnx"))
        self.w = {}
        self.keys = {}
        for name, tensor in tensors.items():
            if not name.endswith((".weight", ".bias")):
                continue
            table = "embed_positions" in name
            self.w[name] = torch.nn.Parameter(tensor, requires_grad=not table)
            self.keys[name] = name.replace(".", "_")
            self.register_parameter(self.keys[name], self.w[name])

    def linear(self, module, x):
        y = x @ self.w[module + ".weight"]
        return y + self.w[module + ".bias"] if module + ".bias" in self.w else y

    def layer_norm(self, module, x):
        return F.layer_norm(x, x.shape[-1:], self.w[module + ".weight"], self.w[module + ".bias"], 1e-5)

    def rms_norm(self, module, x):
        return self.w[module + ".weight"] * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon))

    def encode(self, mel):
        x = F.gelu(F.conv1d(mel, self.w["audio_tower.conv1.weight"], self.w["audio_tower.conv1.bias"], padding=1))
        x = F.gelu(F.conv1d(x, self.w["audio_tower.conv2.weight"], self.w["audio_tower.conv2.bias"], padding=1, stride=2))
        x = x.transpose(1, 2)
        x = x + self.w["audio_tower.embed_positions.weight"][: x.shape[1]]
        for i in range(self.encoder_blocks):
            m = f"audio_tower.layers.{i}"
            n = self.layer_norm(m + ".self_attn_layer_norm", x)
            q, k, v = (self.split(self.linear(f"{m}.self_attn.{p}_proj", n), self.encoder_heads) for p in "qkv")
            scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)
            x = x + self.linear(m + ".self_attn.out_proj", self.merge(scores.softmax(-1) @ v))
            n = self.layer_norm(m + ".final_layer_norm", x)
            x = x + self.linear(m + ".fc2", F.gelu(self.linear(m + ".fc1", n)))
        return self.layer_norm("audio_tower.layer_norm", x)

    def connect(self, x):
        frames = x.shape[1]
        whole = (frames + self.stack - 1) // self.stack
        x = F.pad(x, (0, 0, 0, (whole + 1) * self.stack - frames)).reshape(x.shape[0], whole + 1, -1)
        both = self.linear("multi_modal_projector.linear_1", self.rms_norm("multi_modal_projector.ln_pre", x))
        value, gate = both.chunk(2, -1)
        return self.linear("multi_modal_projector.linear_2", self.rms_norm("multi_modal_projector.ln_mid", F.silu(gate) * value))

    def slots_of(self, frames):
        """Rows of the prompt that a clip of so many mel frames takes."""
        encoder_frames = (frames - 1) // 2 + 1
        return (encoder_frames + self.stack - 1) // self.stack + 1

    @staticmethod
    def split(x, heads):
        return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)

    @staticmethod
    def merge(x):
        return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], -1)

    def rotate(self, x, cos, sin):
        half = x.shape[-1] // 2
        return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin

    def forward(self, ids, mask, audio=None, at_mlp=None, at_residual=None):
        """ids i64 [B, S], mask i64 [B, S], audio f32 [N, mels, F] for the first rows that hold placeholders -> logits [B, S, V]

        at_mlp(block, key, value) sees a block's down-projection, its input and output, and says what goes on from there;
        at_residual(block, x) likewise the residual stream after a block.
        """
        x = F.embedding(ids, self.w["model.embed_tokens.weight"])
        if audio is not None:
            features = self.connect(self.encode(audio))
            x = x.masked_scatter((ids == self.audio_id).unsqueeze(-1), features.reshape(-1, features.shape[-1]))
        rows = ids.shape[1]
        half = self.head_size // 2
        frequencies = torch.tensor(self.theta, dtype=torch.float64).pow(-torch.arange(half, dtype=torch.float64) / half).float()
        angles = torch.arange(rows).float()[:, None] * frequencies
        cos, sin = (f(torch.cat((angles, angles), -1)) for f in (torch.cos, torch.sin))
        visible = torch.tril(torch.ones(rows, rows, dtype=torch.bool)) & mask[:, None, None, :].bool()
        bias = torch.zeros(visible.shape).masked_fill(~visible, torch.finfo(torch.float32).min)
        group = self.heads // self.kv_heads
        for i in range(self.blocks):
            m = f"model.layers.{i}"
            n = self.rms_norm(m + ".input_layernorm", x)
            q = self.rotate(self.split(self.linear(m + ".self_attn.q_proj", n), self.heads), cos, sin)
            k = self.rotate(self.split(self.linear(m + ".self_attn.k_proj", n), self.kv_heads), cos, sin).repeat_interleave(group, 1)
            v = self.split(self.linear(m + ".self_attn.v_proj", n), self.kv_heads).repeat_interleave(group, 1)
            scores = q @ k.transpose(-1, -2) / math.sqrt(self.head_size) + bias
            x = x + self.linear(m + ".self_attn.o_proj", self.merge(scores.softmax(-1) @ v))
            n = self.rms_norm(m + ".post_attention_layernorm", x)
            key = F.silu(self.linear(m + ".mlp.gate_proj", n)) * self.linear(m + ".mlp.up_proj", n)
            value = self.linear(m + ".mlp.down_proj", key)
            x = x + (value if at_mlp is None else at_mlp(i, key, value))
            x = x if at_residual is None else at_residual(i, x)
        return self.linear("lm_head", self.rms_norm("model.norm", x))


def batch_of(model, batch, clips, text_tokens, frames, seed=1):
    """Random ids with the placeholders of `clips` leading rows, as the benchmark's other contenders make them (shapes alone matter)."""
    rng = numpy.random.default_rng(seed)
    mels = model.w["audio_tower.conv1.weight"].shape[1]
    rows = model.slots_of(frames) if clips else 0
    vocabulary = model.w["lm_head.weight"].shape[1]
    ids = rng.integers(0, model.audio_id, (batch, rows + text_tokens)) % min(vocabulary, model.audio_id)
    ids[:clips, 3 : 3 + rows] = model.audio_id
    audio = torch.from_numpy(rng.standard_normal((clips, mels, frames)).astype(numpy.float32)) if clips else None
    return torch.from_numpy(ids), torch.ones(ids.shape, dtype=torch.int64), audio
