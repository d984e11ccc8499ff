# One instrument out of a song: python onnx_example.py model.onnx song.wav clip.wav target.wav (16 bits, 44.1 kHz)
import sys
import wave

import numpy as np
import onnxruntime

model, song, clip, target = sys.argv[1:]
separate, encode = (onnxruntime.InferenceSession(p) for p in (model, model.replace(".onnx", ".prompt.onnx")))
n_fft, hop, segment = (int(separate.get_modelmeta().custom_metadata_map[name]) for name in ("n_fft", "hop", "segment"))
window = np.hanning(n_fft + 1)[:-1]


def read(path):  # (channels, samples), and what the file says of itself
    with wave.open(path) as file:
        return np.frombuffer(file.readframes(-1), np.int16).reshape(-1, file.getnchannels()).T / 32768, file.getparams()


def stft(x):  # (n, samples) -> (n, bins, frames, 2)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(x, [(0, 0), (n_fft // 2,) * 2]), n_fft, 1)[:, ::hop]
    return np.fft.rfft(frames * window).swapaxes(1, 2).astype(np.complex64, "C")[..., None].view(np.float32)


(mixture, parameters), shown = read(song), read(clip)[0].mean(0)
shown = np.lib.stride_tricks.sliding_window_view(np.resize(shown, max(len(shown), segment)), segment)
shown = stft(shown[np.linspace(0, len(shown) - 1, round(2 * len(shown) / segment) + 1).astype(int)])
prompt = {one.name: np.array([True, False, False]) if one.name == "given" else shown for one in encode.get_inputs()}
conditioning = dict(zip((one.name for one in encode.get_outputs()), encode.run(None, prompt), strict=True))
result, t, half = np.zeros(mixture.shape), np.arange(mixture.shape[1]), segment // 12
for start, stop in ((at, at + segment - 4 * half) for at in range(0, len(t), segment - 4 * half)):
    part = slice(max(min(start - 2 * half, len(t) - segment), 0), stop + 2 * half)  # overlapping, crossfaded
    pair = separate.run(None, {"mixture": stft(mixture[:, part])[None], **conditioning})[0][0]
    found = np.zeros((len(mixture) + 1, segment + 2 * n_fft))  # the last row: of the windows
    for number, frame in enumerate(np.fft.irfft(pair.view(np.complex64)[..., 0].transpose(2, 0, 1))):
        found[:, number * hop :][:, :n_fft] += np.vstack([frame, window]) * window
    fade = np.interp(t[part], [start - half, start + half, stop - half, stop + half], [not start, 1, 1, stop >= len(t)])
    result[:, part] += fade * (found[:-1] / (found[-1] + 1e-8))[:, n_fft // 2 :][:, : len(fade)]
with wave.open(target, "wb") as file:
    file.setparams(parameters)
    file.writeframes((result.clip(-1, 1) * 32767).astype(np.int16).T.tobytes())
