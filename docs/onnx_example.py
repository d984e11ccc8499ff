"""One instrument out of a song: python onnx_example.py model.onnx song.wav clip.wav target.wav (16 bits, 44.1 kHz)."""

import sys
import wave

import numpy as np
import onnxruntime

model, song, clip, target = sys.argv[1:]
separate, encode = (onnxruntime.InferenceSession(p) for p in (model, model.replace(".onnx", ".prompt.onnx")))
facts = separate.get_modelmeta().custom_metadata_map
n_fft, hop, segment = (int(facts[name]) for name in ("n_fft", "hop", "segment"))
window = np.hanning(n_fft + 1)[:-1]


def read(path):  # (channels, samples), and what the file says of itself
    with wave.open(path) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, file.getnchannels())
        return sound.T / 32768, file.getparams()


def stft(x):  # (channels, samples) -> (channels, bins, frames, 2)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(x, [(0, 0), (n_fft // 2,) * 2]), n_fft, 1)[:, ::hop]
    spectrum = np.fft.rfft(frames * window).swapaxes(1, 2)
    return np.stack([spectrum.real, spectrum.imag], -1).astype(np.float32)


def istft(pair, samples):  # back again
    frames = np.fft.irfft((pair[..., 0] + 1j * pair[..., 1]).swapaxes(1, 2)) * window
    found, norm = np.zeros((len(pair), samples + 2 * n_fft)), np.full(samples + 2 * n_fft, 1e-8)
    for number, place in enumerate(slice(at, at + n_fft) for at in range(0, hop * frames.shape[1], hop)):
        found[:, place] += frames[:, number]
        norm[place] += window**2
    return (found / norm)[:, n_fft // 2 :][:, :samples]


(mixture, parameters), shown = read(song), stft(read(clip)[0].mean(0, keepdims=True))
prompt = {one.name: np.array([True, False, False]) if one.name == "given" else shown for one in encode.get_inputs()}
conditioning = dict(zip((one.name for one in encode.get_outputs()), encode.run(None, prompt), strict=True))
parts = [mixture[:, at : at + segment] for at in range(0, mixture.shape[1], segment)]
found = [separate.run(None, {"mixture": stft(part)[None], **conditioning})[0][0] for part in parts]
stems = np.concatenate([istft(pair, part.shape[1]) for pair, part in zip(found, parts, strict=True)], 1)
with wave.open(target, "wb") as file:
    file.setparams(parameters)
    file.writeframes((stems.clip(-1, 1) * 32767).astype(np.int16).T.tobytes())
