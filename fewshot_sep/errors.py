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
