#!/usr/bin/env python3
"""Golden log-mel features, computed with NumPy straight from the formula (onnx-layouts.md section 6; Radford et al. 2022).

    python3 tests/golden/log_mel/make.py      # rewrites clip.wav, whisper80.f32 and whisper128.f32 beside this file

Made with Python 3.11 and NumPy 1.24 (Debian 12). The features are little-endian float32, row-major [mels, frames].
"""

import math
import pathlib
import wave

import numpy as np

HERE = pathlib.Path(__file__).parent
RATE, FFT, HOP = 16000, 400, 160


def clip():
    """Half a second: a glide with harmonics, clicks, faint noise from a linear congruential generator, and real silence."""
    state, samples = 12345, []
    for n in range(RATE // 2):
        t = n / RATE
        state = (1103515245 * state + 12345) % 2**31
        noise = (state / 2**30 - 1) * 0.002
        glide = sum(math.sin(2 * math.pi * k * (220 * t + 900 * t * t)) / k for k in range(1, 9))
        loud = 0.2 * glide * math.sin(math.pi * t / 0.3) ** 2 if t < 0.3 else 0.0
        click = 0.9 if n % 1777 == 0 else 0.0
        samples.append(0.0 if t > 0.45 else loud + noise + click)
    return np.clip(np.rint(np.array(samples) * 32768), -32768, 32767).astype("<i2")


def mel_filters(mels):
    def to_hz(mel):
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))

    edges = to_hz(np.linspace(0, 45.245640471924965, mels + 2))
    hz = np.arange(FFT // 2 + 1) * RATE / FFT
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.maximum(0, np.minimum((hz - low) / (middle - low), (high - hz) / (high - middle))) * 2 / (high - low)


def log_mel(samples, mels):
    padded = np.pad(samples, FFT // 2, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT) / FFT)
    frames = np.stack([padded[i * HOP : i * HOP + FFT] * window for i in range(len(samples) // HOP)])
    power = np.abs(np.fft.rfft(frames)) ** 2
    x = np.log10(np.maximum(mel_filters(mels) @ power.T, 1e-10))
    return ((np.maximum(x, x.max() - 8) + 4) / 4).astype("<f4")


def main():
    pcm = clip()
    with wave.open(str(HERE / "clip.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm.tobytes())
    samples = pcm / 32768.0
    log_mel(samples, 80).tofile(HERE / "whisper80.f32")
    log_mel(np.concatenate([samples, np.zeros(RATE - len(samples))]), 128).tofile(HERE / "whisper128.f32")


if __name__ == "__main__":
    main()
