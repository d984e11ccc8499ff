"""One instrument out of a song: python onnx_example.py model.onnx song.wav clip.wav target.wav (16 bits, 44.1 kHz)."""

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
        sound = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, file.getnchannels())
        return sound.T / 32768, file.getparams()


def stft(x):  # (channels, samples) -> (channels, bins, frames, 2)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(x, [(0, 0), (n_fft // 2,) * 2]), n_fft, 1)[:, ::hop]
    return np.fft.rfft(frames * window).swapaxes(1, 2).astype(np.complex64, "C")[..., None].view(np.float32)


def separated(part):  # (channels, samples), also out
    pair = separate.run(None, {"mixture": stft(part)[None], **conditioning})[0][0]
    found = np.zeros((len(part) + 1, part.shape[1] + 2 * n_fft))  # the last row: of the windows
    for number, frame in enumerate(np.fft.irfft(pair.view(np.complex64)[..., 0].transpose(2, 0, 1))):
        found[:, number * hop :][:, :n_fft] += np.vstack([frame, window]) * window
    return (found[:-1] / (found[-1] + 1e-8))[:, n_fft // 2 :][:, : part.shape[1]]


(mixture, parameters), shown = read(song), stft(read(clip)[0].mean(0, keepdims=True))
prompt = {one.name: np.array([True, False, False]) if one.name == "given" else shown for one in encode.get_inputs()}
conditioning = dict(zip((one.name for one in encode.get_outputs()), encode.run(None, prompt), strict=True))
stems = [separated(mixture[:, at : at + segment]) for at in range(0, mixture.shape[1], segment)]
with wave.open(target, "wb") as file:
    file.setparams(parameters)
    file.writeframes((np.concatenate(stems, 1).clip(-1, 1) * 32767).astype(np.int16).T.tobytes())
