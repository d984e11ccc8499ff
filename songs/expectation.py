"""What a user reads of how well it went: what to expect, where it may have failed, and what would help."""

from __future__ import annotations

from fewshot_sep.prediction import Prediction
from fewshot_sep.songs.queries import POLYPHONIC_LOGIT

ABSENT_DB = -30.0
ABSENT = 0.5  # how likely it is in the song; less, and it is said not to be
FAILED = 0.25  # how likely a failure is; more, and it is said
SURE = 0.8  # how likely it is in the song; less, and it is said
UNLIKE = 0.5  # cosine of two clips


def absence(level_db: float | None, prediction: Prediction | None) -> str | None:
    """Why the instrument does not seem to be in the song, which is not silent; None where it does."""
    if level_db is None or level_db < ABSENT_DB:
        said = "silent" if level_db is None else f"{-level_db:.0f} dB below it"
    elif prediction and prediction.present < ABSENT:
        said = f"unsure, and {-level_db:.0f} dB below it"
    else:
        return None
    return f"the queried instrument does not seem to be in the song: what was found is {said}"


def sentence(prediction: Prediction) -> str:
    """
    >>> sentence(Prediction(0.9, 0.2, 1.8, 6.2, 10.4, {}))
    'expected improvement about 6 dB (2 to 10)'
    """
    low, median, high = (round(value) for value in prediction[2:5])
    condition = "" if prediction.present > SURE else f", if it is in the song at all ({prediction.present:.0%} likely)"
    return f"expected improvement about {median} dB ({low} to {high}){condition}"


def failure(prediction: Prediction | None) -> str | None:
    """That it may have failed, and what to do next; None where that is unlikely."""
    if not prediction or prediction.failed < FAILED:
        return None
    return f"the separation may have failed ({prediction.failed:.0%} likely): give {wanted(prediction)}"


def wanted(prediction: Prediction) -> str:
    """The evidence that would help most."""
    signs = prediction.signs
    if not signs["alone"]:
        return "a clip of the instrument alone (--query, --query-at)"
    if signs["polyphony_logit"] > POLYPHONIC_LOGIT:
        return "a clip in which it plays alone (--query, --query-at): several instruments seem to play in this one"
    if signs["agreement"] < UNLIKE:
        return "only clips that sound alike: some of these do not"
    return "another clip of it, best several passages of this song (--query-at), or where it does not play (--not-at)"
