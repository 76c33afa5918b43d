#!/usr/bin/python3
"""Small models that PyTorch exported, with what PyTorch computes for them.

    /usr/bin/python3 tests/golden/torch_exports/make.py          (Debian's python3-torch, python3-onnx and python3-h5py)

README.md says what is in each file. Written as the models of transformers are, so that the exporter spells them as it spells those.
"""
import math
import pathlib
import warnings

import h5py
import numpy
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import nn

FOLDER = pathlib.Path(__file__).resolve().parent
WIDTH, VOCABULARY, BLOCKS, POSITIONS = 16, 30, 2, 24
MELS, STACK = 10, 4


# --- GPT-2: packed Conv1D, a causal buffer that is sliced, learnt positions counted from the past ---

class Conv1D(nn.Module):
    def __init__(self, out, inp):
        super().__init__()
        self.out = out
        self.weight = nn.Parameter(torch.empty(inp, out))
        self.bias = nn.Parameter(torch.empty(out))

    def forward(self, x):
        size = x.size()[:-1] + (self.out,)
        return torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view(size)


class Gpt2Block(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = Conv1D(3 * width, width), Conv1D(width, width)
        self.c_fc, self.mlp_proj = Conv1D(hidden, width), Conv1D(width, hidden)
        self.register_buffer("bias", torch.tril(torch.ones(POSITIONS, POSITIONS, dtype=torch.uint8))[None, None])

    def split_heads(self, x):
        return x.view(x.size()[:-1] + (self.heads, x.size(-1) // self.heads)).permute(0, 2, 1, 3)

    def attend(self, x, past_key, past_value, mask):
        q, k, v = (self.split_heads(t) for t in self.c_attn(x).split(x.size(-1), dim=2))
        k, v = torch.cat((past_key, k), dim=-2), torch.cat((past_value, v), dim=-2)
        weights = torch.matmul(q, k.transpose(-1, -2))
        weights = weights / torch.full([], v.size(-1) ** 0.5, dtype=weights.dtype)
        queries, keys = q.size(-2), k.size(-2)
        causal = self.bias[:, :, keys - queries:keys, :keys].to(torch.bool)
        weights = torch.where(causal, weights, torch.full([], torch.finfo(weights.dtype).min, dtype=weights.dtype))
        mixed = torch.matmul(F.softmax(weights + mask, dim=-1), v).permute(0, 2, 1, 3).contiguous()
        return self.c_proj(mixed.view(mixed.size()[:-2] + (-1,))), k, v

    def forward(self, x, past_key, past_value, mask):
        attended, k, v = self.attend(self.ln_1(x), past_key, past_value, mask)
        x = x + attended
        u = self.c_fc(self.ln_2(x))
        u = 0.5 * u * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (u + 0.044715 * torch.pow(u, 3.0))))
        return x + self.mlp_proj(u), k, v


class Gpt2(nn.Module):
    cache = (4, WIDTH // 4)  # heads, size of one

    def __init__(self):
        super().__init__()
        self.wpe = nn.Embedding(POSITIONS, WIDTH)
        self.h = nn.ModuleList(Gpt2Block(WIDTH, 4, 40) for _ in range(BLOCKS))
        self.ln_f, self.lm_head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, inputs_embeds, attention_mask, *past):
        before, count = past[0].size(-2), inputs_embeds.size(1)
        positions = torch.arange(before, count + before, dtype=torch.long).unsqueeze(0).view(-1, count)
        mask = attention_mask[:, None, None, :].to(torch.float32)
        mask = (1.0 - mask) * torch.finfo(torch.float32).min
        x, present = inputs_embeds + self.wpe(positions), []
        for i, block in enumerate(self.h):
            x, k, v = block(x, past[2 * i], past[2 * i + 1], mask)
            present += [k, v]
        return (self.lm_head(self.ln_f(x)), *present)

    def sites(self):
        for i, block in enumerate(self.h):
            for name in ("qkv", "c_attn"), ("o", "c_proj"):
                yield f"decoder.block.{i}.attn.{name[0]}", getattr(block, name[1])
            yield f"decoder.block.{i}.mlp.up", block.c_fc
            yield f"decoder.block.{i}.mlp.down", block.mlp_proj
        yield "decoder.head", self.lm_head

    def residuals(self):
        return {f"decoder.block.{i}.residual": block for i, block in enumerate(self.h)}


# --- Llama: RMSNorm, rotary embedding, shared keys, SwiGLU ---

class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))

    def forward(self, x):
        wide = x.to(torch.float32)
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
        return self.weight * wide.to(x.dtype)


def rotate_half(x):
    return torch.cat((-x[..., x.shape[-1] // 2:], x[..., :x.shape[-1] // 2]), dim=-1)


def repeat_kv(x, times):
    batch, heads, count, size = x.shape
    return x[:, :, None, :, :].expand(batch, heads, times, count, size).reshape(batch, heads * times, count, size)


class LlamaBlock(nn.Module):
    def __init__(self, width, heads, key_heads, size, hidden):
        super().__init__()
        self.heads, self.key_heads, self.size = heads, key_heads, size
        linear = lambda inp, out: nn.Linear(inp, out, bias=False)  # noqa: E731
        self.input_layernorm, self.post_attention_layernorm = RmsNorm(width), RmsNorm(width)
        self.q_proj, self.o_proj = linear(width, heads * size), linear(heads * size, width)
        self.k_proj, self.v_proj = linear(width, key_heads * size), linear(width, key_heads * size)
        self.gate_proj, self.up_proj, self.down_proj = linear(width, hidden), linear(width, hidden), linear(hidden, width)
        self.register_buffer("inv_freq", 1.0 / (10000 ** (torch.arange(0, size, 2).float() / size)))

    def attend(self, x, positions, mask, past_key, past_value):
        batch, count, _ = x.size()
        q = self.q_proj(x).view(batch, count, self.heads, self.size).transpose(1, 2)
        k = self.k_proj(x).view(batch, count, self.key_heads, self.size).transpose(1, 2)
        v = self.v_proj(x).view(batch, count, self.key_heads, self.size).transpose(1, 2)
        frequencies = self.inv_freq[None, :, None].float().expand(positions.shape[0], -1, 1)
        angles = (frequencies @ positions[:, None, :].float()).transpose(1, 2)
        angles = torch.cat((angles, angles), dim=-1)
        cos, sin = angles.cos().unsqueeze(1), angles.sin().unsqueeze(1)
        q, k = q * cos + rotate_half(q) * sin, k * cos + rotate_half(k) * sin
        k, v = torch.cat((past_key, k), dim=2), torch.cat((past_value, v), dim=2)
        times = self.heads // self.key_heads
        weights = torch.matmul(q, repeat_kv(k, times).transpose(2, 3)) / math.sqrt(self.size) + mask
        weights = F.softmax(weights, dim=-1, dtype=torch.float32).to(q.dtype)
        mixed = torch.matmul(weights, repeat_kv(v, times)).transpose(1, 2).contiguous().reshape(batch, count, -1)
        return self.o_proj(mixed), k, v

    def forward(self, x, positions, mask, past_key, past_value):
        attended, k, v = self.attend(self.input_layernorm(x), positions, mask, past_key, past_value)
        x = x + attended
        n = self.post_attention_layernorm(x)
        return x + self.down_proj(F.silu(self.gate_proj(n)) * self.up_proj(n)), k, v


class Llama(nn.Module):
    cache = (2, 6)

    def __init__(self):
        super().__init__()
        # 4 heads of 6 in a width of 16: no projection is square, so that none fits when it is the wrong way round.
        self.layers = nn.ModuleList(LlamaBlock(WIDTH, 4, 2, 6, 36) for _ in range(BLOCKS))
        self.norm, self.lm_head = RmsNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, inputs_embeds, attention_mask, position_ids, *past):
        before, count, total = past[0].size(2), inputs_embeds.size(1), attention_mask.size(1)
        lowest = torch.finfo(torch.float32).min
        causal = torch.full((count, total), lowest)
        causal = causal * (torch.arange(total) > torch.arange(before, before + count).reshape(-1, 1))
        mask = causal[None, None, :, :].expand(inputs_embeds.size(0), 1, -1, -1).clone()
        mask = mask.masked_fill((mask + attention_mask[:, None, None, :]) == 0, lowest)
        x, present = inputs_embeds, []
        for i, layer in enumerate(self.layers):
            x, k, v = layer(x, position_ids, mask, past[2 * i], past[2 * i + 1])
            present += [k, v]
        return (self.lm_head(self.norm(x)), *present)

    def sites(self):
        for i, layer in enumerate(self.layers):
            for name in "qkvo":
                yield f"decoder.block.{i}.attn.{name}", getattr(layer, f"{name}_proj")
            for name in ("gate", "up", "down"):
                yield f"decoder.block.{i}.mlp.{name}", getattr(layer, f"{name}_proj")
        yield "decoder.head", self.lm_head

    def residuals(self):
        return {f"decoder.block.{i}.residual": layer for i, layer in enumerate(self.layers)}


# --- Whisper's encoder with a stacking connector, and the token embedding ---

class WhisperBlock(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.q_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(3))
        self.k_proj = nn.Linear(width, width, bias=False)
        self.self_attn_layer_norm, self.final_layer_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def split_heads(self, x, batch):
        x = x.view(batch, -1, self.heads, self.size).transpose(1, 2).contiguous()
        return x.view(batch * self.heads, -1, self.size)

    def attend(self, x):
        batch, count, width = x.size()
        q, k, v = self.q_proj(x) * self.size ** -0.5, self.k_proj(x), self.v_proj(x)
        q, k, v = (self.split_heads(t, batch) for t in (q, k, v))
        weights = F.softmax(torch.bmm(q, k.transpose(1, 2)), dim=-1)
        mixed = torch.bmm(weights, v).view(batch, self.heads, count, self.size).transpose(1, 2)
        return self.out_proj(mixed.reshape(batch, count, width))

    def forward(self, x):
        x = x + self.attend(self.self_attn_layer_norm(x))
        return x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))


class Whisper(nn.Module):
    def __init__(self, width=12):
        super().__init__()
        self.conv1 = nn.Conv1d(MELS, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(POSITIONS, width)
        self.layers = nn.ModuleList(WhisperBlock(width, 3, 28) for _ in range(BLOCKS))
        self.layer_norm = nn.LayerNorm(width)
        self.linear_1, self.linear_2 = nn.Linear(STACK * width, 20), nn.Linear(20, WIDTH)

    def forward(self, audio_values):
        x = F.gelu(self.conv2(F.gelu(self.conv1(audio_values)))).permute(0, 2, 1)
        x = x + self.embed_positions.weight[:x.size(1)]
        for layer in self.layers:
            x = layer(x)
        x = self.layer_norm(x)
        clips, frames, width = x.shape
        x = F.pad(x, (0, 0, 0, (frames + STACK - 1) // STACK * STACK - frames))
        return self.linear_2(F.gelu(self.linear_1(x.view(clips, -1, STACK * width))))

    def sites(self):
        yield "connector.0", self.linear_1
        yield "connector.1", self.linear_2
        for i, layer in enumerate(self.layers):
            for name in ("q", "k", "v", "out"):
                yield f"encoder.block.{i}.attn.{name[0]}", getattr(layer, f"{name}_proj")
            for name in ("fc1", "fc2"):
                yield f"encoder.block.{i}.mlp.{name}", getattr(layer, name)

    def residuals(self):
        return {f"encoder.block.{i}.residual": layer for i, layer in enumerate(self.layers)}


# --- Whisper whole: the encoder alone, and a decoder that attends to it ---

class WhisperDecoderBlock(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads, self.size = heads, width // heads
        for name in ("self_attn", "encoder_attn"):
            for part in ("q_proj", "v_proj", "out_proj"):
                setattr(self, f"{name}_{part}", nn.Linear(width, width))
            setattr(self, f"{name}_k_proj", nn.Linear(width, width, bias=False))
            setattr(self, f"{name}_layer_norm", nn.LayerNorm(width))
        self.fc1, self.fc2, self.final_layer_norm = nn.Linear(width, hidden), nn.Linear(hidden, width), nn.LayerNorm(width)

    def shape(self, x, batch):
        return x.view(batch, -1, self.heads, self.size).transpose(1, 2).contiguous()

    def attend(self, name, x, source, mask):
        batch, count, width = x.size()
        projected = lambda part, y: getattr(self, f"{name}_{part}_proj")(y)  # noqa: E731
        folded = (batch * self.heads, -1, self.size)
        q = self.shape(projected("q", x) * self.size ** -0.5, batch).view(*folded)
        k, v = (self.shape(projected(part, source), batch).view(*folded) for part in "kv")
        weights = torch.bmm(q, k.transpose(1, 2))
        if mask is not None:
            weights = weights.view(batch, self.heads, count, -1) + mask
            weights = weights.view(batch * self.heads, count, -1)
        mixed = torch.bmm(F.softmax(weights, dim=-1), v).view(batch, self.heads, count, self.size).transpose(1, 2)
        return projected("out", mixed.reshape(batch, count, width))

    def forward(self, x, heard, mask):
        n = self.self_attn_layer_norm(x)
        x = x + self.attend("self_attn", n, n, mask)
        x = x + self.attend("encoder_attn", self.encoder_attn_layer_norm(x), heard, None)
        return x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))


class Transcriber(nn.Module):
    def __init__(self, width=12):
        super().__init__()
        self.conv1 = nn.Conv1d(MELS, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.encoder_positions, self.decoder_positions = nn.Embedding(POSITIONS, width), nn.Embedding(POSITIONS, width)
        self.encoder_layers = nn.ModuleList(WhisperBlock(width, 3, 28) for _ in range(BLOCKS))
        self.decoder_layers = nn.ModuleList(WhisperDecoderBlock(width, 3, 28) for _ in range(BLOCKS))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.embed_tokens, self.proj_out = nn.Embedding(VOCABULARY, width), nn.Linear(width, VOCABULARY, bias=False)

    def forward(self, audio_values, input_ids):
        heard = F.gelu(self.conv2(F.gelu(self.conv1(audio_values)))).permute(0, 2, 1)
        heard = heard + self.encoder_positions.weight[:heard.size(1)]
        for layer in self.encoder_layers:
            heard = layer(heard)
        heard = self.encoder_norm(heard)
        batch, count = input_ids.size()
        mask = torch.full((count, count), torch.finfo(torch.float32).min)
        mask = mask.masked_fill(torch.arange(count) < (torch.arange(count) + 1).view(-1, 1), 0.0)
        mask = mask[None, None, :, :].expand(batch, 1, count, count)
        x = self.embed_tokens(input_ids) + self.decoder_positions.weight[:count]
        for layer in self.decoder_layers:
            x = layer(x, heard, mask)
        return self.proj_out(self.decoder_norm(x))


class Embed(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCABULARY, WIDTH)

    def forward(self, input_ids):
        return self.embed_tokens(input_ids)


# --- Export, results, gradients ---

def generator(seed):
    return torch.Generator().manual_seed(seed)


def initialised(model, seed):
    """Every parameter gets values of its own: the exporter merges equal ones, whatever they are for."""
    rng = generator(seed)
    for name, p in sorted(model.named_parameters()):
        scale = 0.5 if p.dim() == 1 else 1.5 / math.sqrt(WIDTH)
        around = 1.0 if "norm" in name or "ln_" in name else 0.0
        p.data = scale * torch.randn(p.shape, generator=rng) + (around if name.endswith("weight") and p.dim() == 1 else 0.0)
    return model.eval()


def decoder_inputs(model, batch, count, before, seed, padded=0):
    """inputs_embeds, attention_mask, position_ids where the model has them, past; the last row of the batch starts with `padded` zeros."""
    rng = generator(seed)
    mask = torch.ones(batch, before + count, dtype=torch.long)
    mask[-1, :padded] = 0
    inputs = {"inputs_embeds": torch.randn(batch, count, WIDTH, generator=rng), "attention_mask": mask}
    if isinstance(model, Llama):
        inputs["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)[:, before:].contiguous()
    heads, size = model.cache
    for name in cache_names("past_key_values"):
        inputs[name] = torch.randn(batch, heads, before, size, generator=rng)
    return inputs


def cache_names(prefix):
    return [f"{prefix}.{i}.{half}" for i in range(BLOCKS) for half in ("key", "value")]


def export(name, model, inputs, outputs):
    axes = {"inputs_embeds": {0: "batch", 1: "rows"}, "input_ids": {0: "batch", 1: "rows"}, "attention_mask": {0: "batch", 1: "total"},
            "position_ids": {0: "batch", 1: "rows"}, "logits": {0: "batch", 1: "rows"}, "audio_values": {0: "clips", 2: "frames"},
            "audio_features": {0: "clips", 1: "audio_rows"}}
    axes.update({n: {0: "batch", 2: "past"} for n in cache_names("past_key_values")})
    axes.update({n: {0: "batch", 2: "total"} for n in cache_names("present")})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # integer divisions of shapes are traced as they should be
        torch.onnx.export(model, tuple(inputs.values()), str(FOLDER / f"{name}.onnx"), opset_version=17, input_names=list(inputs),
                          output_names=outputs, dynamic_axes={n: axes[n] for n in [*inputs, *outputs]})


def stored_gradients(name, model):
    """The gradient of each float initializer of the file, in the orientation in which the exporter stored it; none for a buffer."""
    for tensor in onnx.load(str(FOLDER / f"{name}.onnx")).graph.initializer:
        stored = numpy_helper.to_array(tensor)
        if stored.dtype != numpy.float32 or stored.ndim == 0:
            continue
        for p in model.parameters():
            if numpy.array_equal(stored, p.detach().numpy()):
                yield tensor.name, p.grad.numpy()
            elif p.dim() == 2 and numpy.array_equal(stored, p.detach().T.numpy()):
                yield tensor.name, p.grad.T.contiguous().numpy()
        if any(b.numel() == stored.size and numpy.array_equal(stored.flatten(), b.flatten().numpy()) for b in model.buffers()):
            yield tensor.name, None


def write_cases(name, model, output, cases):
    """Each case: inputs/NAME, outputs/NAME, cotangent, and gradients/NAME of sum(cotangent * output), of weights in the first two only."""
    with h5py.File(FOLDER / f"{name}.h5", "w", libver="earliest") as file:
        file.attrs["torch"] = numpy.bytes_(torch.__version__)
        for number, inputs in enumerate(cases):
            model.zero_grad()
            leaves = {n: x.clone().requires_grad_() if x.is_floating_point() else x for n, x in inputs.items()}
            results = model(*leaves.values())
            results = results if isinstance(results, tuple) else (results,)
            cotangent = torch.randn(results[0].shape, generator=generator(50 + number))
            (results[0] * cotangent).sum().backward()
            case = file.create_group(f"case_{number}")
            case["cotangent"] = cotangent.numpy()
            for n, x in inputs.items():
                case[f"inputs/{n}"] = x.numpy()
                if x.is_floating_point() and x.numel() != 0:
                    case[f"gradients/{n}"] = leaves[n].grad.numpy()
            for n, y in zip([output, *cache_names("present")], results):
                case[f"outputs/{n}"] = y.detach().numpy()
            for n, gradient in stored_gradients(name, model) if number < 2 else ():
                kind = "buffers" if gradient is None else "gradients"
                case[f"{kind}/" + n.replace("%", "%25").replace("/", "%2F")] = numpy.float32([]) if gradient is None else gradient


# --- The three graphs as one model: what its places hold, and what editing each of them does ---

def ask(whisper, embed, decoder, audio, ids, rows):
    x = embed(ids)
    x = x.reshape(-1, WIDTH).index_copy(0, rows[:, 0], whisper(audio).reshape(-1, WIDTH)).view(x.shape)
    inputs = decoder_inputs(decoder, 1, ids.size(1), 0, 0)
    inputs["inputs_embeds"] = x
    return decoder(*inputs.values())[0]


def write_sites(name, whisper, embed, decoder, parts):
    """The sites of these parts of the model. A group a site: key and value at the last position, bias or none, u v^T, and the last row of logits with W + u v^T."""
    rng = generator(70)
    audio = torch.randn(1, MELS, 38, generator=rng)
    ids = torch.randint(0, VOCABULARY, (1, 9), generator=rng)
    rows = torch.arange(2, 7)[:, None]
    captured = {}

    def capture(site):
        def hook(module, inputs, output):
            output = output[0] if isinstance(output, tuple) else output
            captured[site] = (inputs[0][0, -1].numpy(), output[0, -1].numpy())
        return hook

    sites = {site: module for part in parts for site, module in part.sites()}
    residuals = {site: module for part in parts for site, module in part.residuals().items()}
    hooks = [module.register_forward_hook(capture(site)) for site, module in {**sites, **residuals}.items()]
    with torch.no_grad(), h5py.File(FOLDER / f"sites_{name}.h5", "w", libver="earliest") as file:
        file.attrs["torch"] = numpy.bytes_(torch.__version__)
        logits = ask(whisper, embed, decoder, audio, ids, rows)
        for hook in hooks:
            hook.remove()
        for n, x in {"audio_values": audio, "input_ids": ids, "audio_rows": rows, "logits": logits}.items():
            file[n] = x.numpy()
        for site in residuals:
            file[f"residuals/{site}"] = captured[site][1]
        for site, module in sites.items():
            group = file.create_group(f"sites/{site}")
            packed = isinstance(module, Conv1D)
            w = module.weight.T if packed else module.weight  # y = W x
            u, v = torch.randn(w.shape[0], 1, generator=rng), 0.3 * torch.randn(w.shape[1], 1, generator=rng)
            group["key"], group["value"] = captured[site]
            group["bias"] = numpy.float32([]) if module.bias is None else module.bias.numpy()
            group["u"], group["v"] = u.numpy(), v.numpy()
            kept = module.weight.data.clone()
            module.weight.data += (u @ v.T).T if packed else u @ v.T
            group["edited_logits"] = ask(whisper, embed, decoder, audio, ids, rows)[0, -1].numpy()
            module.weight.data = kept


def main():
    torch.set_num_threads(1)
    # By way of oneDNN, gradients of Debian's PyTorch 1.13.1 are wrong for some layouts.
    torch._C._set_mkldnn_enabled(False)
    whisper, embed = initialised(Whisper(), 1), initialised(Embed(), 2)
    export("whisper", whisper, {"audio_values": torch.randn(1, MELS, 30, generator=generator(11))}, ["audio_features"])
    write_cases("whisper", whisper, "audio_features",
                [{"audio_values": torch.randn(clips, MELS, frames, generator=generator(20 + frames))} for clips, frames in [(1, 38), (2, 21)]])
    export("embed", embed, {"input_ids": torch.zeros(1, 4, dtype=torch.long)}, ["inputs_embeds"])
    transcriber = initialised(Transcriber(), 5)
    export("transcriber", transcriber, {"audio_values": torch.randn(1, MELS, 30, generator=generator(13)),
                                        "input_ids": torch.zeros(1, 4, dtype=torch.long)}, ["logits"])
    write_cases("transcriber", transcriber, "logits",
                [{"audio_values": torch.randn(batch, MELS, frames, generator=generator(40 + frames)),
                  "input_ids": torch.randint(0, VOCABULARY, (batch, count), generator=generator(60 + frames))}
                 for batch, frames, count in [(1, 38, 7), (2, 21, 3)]])
    for name, decoder, seed in [("gpt2", Gpt2(), 3), ("llama", Llama(), 4)]:
        initialised(decoder, seed)
        export(name, decoder, decoder_inputs(decoder, 1, 4, 3, 12), ["logits", *cache_names("present")])
        write_cases(name, decoder, "logits", [decoder_inputs(decoder, *shape) for shape in [(1, 6, 0, 31), (2, 3, 5, 32, 2), (1, 1, 7, 33)]])
        # What the encoder's places do shows in either decoder's logits; once is enough.
        write_sites(name, whisper, embed, decoder, [decoder, whisper] if name == "llama" else [decoder])
    print({f.name: f.stat().st_size for f in sorted(FOLDER.iterdir()) if f.suffix in (".onnx", ".h5")})


if __name__ == "__main__":
    main()
