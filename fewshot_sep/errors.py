"""The exceptions a user can meet. Each is one line that names the file or setting and says what to do."""


class FewshotSepError(Exception):
    """Base of all errors meant for the user; the command line prints the message alone and exits with `exit_code`."""

    exit_code = 2


class BadAudio(FewshotSepError):
    """A file or array that cannot be used as audio: missing, empty, not audio, too many channels, NaN or Inf."""


class BadQuery(BadAudio):
    """A query clip from which nothing can be learnt: silent, or with under 0.1 s of sound."""


class BadLibrary(FewshotSepError):
    """A loop library that is missing, empty, or whose `library.csv` does not fit its files."""


class BadItems(FewshotSepError):
    """A set of evaluation items, or a run over one, that is missing, empty, or whose lists do not fit its files."""


class WeightsError(FewshotSepError):
    """Weights that are missing, damaged (SHA-256 mismatch), or made for another architecture."""


class EngineMissing(FewshotSepError):
    """An external engine (beat tracker, time-stretcher, decoder) that was asked for is not installed."""


class OutputError(FewshotSepError):
    """The result could not be written: read-only folder, full disk, a clash with another run."""

    exit_code = 1


def first_line(error: BaseException) -> str:
    """What an exception says, or else its kind, as it goes into a message of one line."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def explain(error: BaseException) -> str:
    """One line for what no one expected: what it is, and what helps where that is known."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    low = text.lower()
    if isinstance(error, MemoryError) or name == "OutOfMemoryError" or any(mark in low for mark in _MEMORY):
        on_device = not isinstance(error, MemoryError) and any(mark in f"{name} {low}".lower() for mark in _DEVICES)
        return "out of memory" + ("; try --device cpu" if on_device else "")
    hint = "; try --device cpu" if any(mark in low for mark in _DEVICES) else ""
    return f"{name}: {text}{hint}" if text else name


_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")
_DEVICES = ("cuda", "cudnn", "cublas", "mps", "hip error", "outofmemoryerror")
