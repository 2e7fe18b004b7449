"""The words for a model that is silent."""

from publius.stages.base import Silence


def test_only_an_unusual_silence_is_worth_a_word():
    silence = Silence()
    assert silence.in_words(3, 9.0, 3600) == ""
    assert silence.in_words(3, 40.0, 3600) == (
        ", 3 requests wait: the model has answered none for 40 s; "
        "they fail after 3,600 s (engine.request_timeout_s)"
    )
    assert silence.in_words(3, 1.0, 3600) == ""
    assert silence.in_words(3, 79.0, 3600) == ""  # one of 40 s ended well
    assert silence.in_words(1, 80.0, None) == ", 1 request waits: the model has answered none for 80 s"
