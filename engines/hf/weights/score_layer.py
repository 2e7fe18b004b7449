"""Sequence classifiers for every decoder: transformers' own class, or the generic one over the same decoder.

transformers has no sequence classifier for many architectures (Granite, Cohere, Gemma 4, LFM2, ...). Those it
has are nearly all one class, `GenericForSequenceClassification`: the decoder, and a linear layer `score` on
its last hidden state. That class is built here for the others. A folder saved from it names the class in
`config.json`, as in `GraniteForSequenceClassification`. Publius loads it again;
`AutoModelForSequenceClassification` does not know the name.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from core.lazy import require

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_EXTRA = "transformers"


def classifier_class(config: PreTrainedConfig) -> Any:
    """Return the class of a model's sequence classifier.

    Where there is none and none can be built, return `AutoModelForSequenceClassification`: its error names
    the configuration.

    Args:
        config: the configuration of a causal language model or of a sequence classifier.
    """
    transformers: Any = require("transformers", _EXTRA)
    known = transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(config), None)
    decoder = transformers.MODEL_MAPPING.get(type(config), None)
    is_causal = transformers.MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None) is not None
    if known is None and is_causal and isinstance(decoder, type):
        return _generic(decoder)
    return known or transformers.AutoModelForSequenceClassification


@cache
def _generic(decoder: type) -> Any:
    """Return the generic classifier over a decoder class, such as `GraniteModel`."""
    transformers: Any = require("transformers", _EXTRA)
    layers: Any = require("transformers.modeling_layers", _EXTRA)
    base = transformers.PreTrainedModel
    # The family's abstract class comes last before `PreTrainedModel`. It initialises the weights and declares
    # which attention functions there are.
    family = [kind for kind in decoder.__mro__ if issubclass(kind, base) and kind is not base][-1]
    # The decoder must be in the attribute that it has in the causal model, or no weight would be found. The
    # generic class would take `model`, but Mamba 2 has `backbone`.
    place: dict[str, Any] = {
        "base_model_prefix": decoder.base_model_prefix,  # type: ignore[attr-defined]
        # The family's own is that of the model with vision: Llama 4 would be built whole, in its full size.
        "config_class": decoder.config_class,  # type: ignore[attr-defined]
        "__module__": decoder.__module__,
    }
    name = f"{decoder.__name__.removesuffix('Model')}ForSequenceClassification"
    return type(name, (layers.GenericForSequenceClassification, family), place)
